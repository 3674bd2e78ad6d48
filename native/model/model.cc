#include "model/model.h"

#include <ATen/core/grad_mode.h>

namespace bertune {

Model::Model(const SessionSpec& spec, at::Device device, at::ScalarType compute, uint64_t seed)
    : compute_(compute),
      parameters_(spec.parameters, device, seed),
      factory_(parameters_, spec.lora),
      encoder_(spec.encoder, Head::readsFirstOnly(spec.head), factory_),
      head_(spec.head, spec.encoder, factory_),
      format_(batchFormat(spec)) {
  factory_.requireAllAdapted();
  parameters_.requireAllUsed();
}

at::Tensor Model::logits(const Batch& batch, const TrainingPass* pass) {
  {
    const at::NoGradGuard guard;
    OperandBuilder builder(compute_, device());
    encoder_.prepare(builder, pass != nullptr);
    builder.finish();
  }
  const at::Tensor hidden = encoder_.forward(batch, pass, compute_);
  return head_.forward(hidden, encoder_.outputRows(), batch, pass);
}

void Model::mergeAdapters() {
  encoder_.mergeAdapters();
  head_.mergeAdapters();
}

}  // namespace bertune
