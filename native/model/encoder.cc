#include "model/encoder.h"

#include <map>
#include <string>

#include "model/gradient_checkpointing.h"

namespace bertune {

Encoder::Encoder(const EncoderSpec& spec, bool isFirstOnly, LayerFactory& factory)
    : isFirstOnly_(isFirstOnly), embeddings_(spec.embeddings, spec.hidden, factory) {
  std::map<std::string, Block*> byPrefix;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    // The last one may compute less, so it is one of its own even where its parameters are shared.
    const bool isLess = isFirstOnly && i + 1 == spec.layers.size();
    Block*& shared = byPrefix[spec.layers[i]];
    if (shared == nullptr || isLess) {
      blocks_.emplace_back(spec, spec.layers[i], isLess, factory);
      shared = &blocks_.back();
    }
    runs_.push_back(shared);
  }
  if (spec.finalNorm) finalNorm_ = factory.norm("finalNorm", spec.hidden, spec.norm);
}

at::Tensor Encoder::forward(const Batch& batch, const TrainingPass* pass, at::ScalarType compute) const {
  at::Tensor x = embeddings_.forward(batch, pass, compute);
  for (size_t i = 0; i < runs_.size(); ++i) {
    const Block& block = *runs_[i];
    const auto number = static_cast<int64_t>(i);
    const auto layer = [&block, &batch, pass, number, compute](const at::Tensor& input) {
      return block.forward(input, number, batch, pass, compute);
    };
    // Below the lowest trained parameter nothing is kept for a backward pass anyway.
    const bool recomputes =
        pass != nullptr && pass->gradientCheckpointing && (x.requires_grad() || block.isTrained());
    x = recomputes ? checkpoint(layer, x) : layer(x);
  }
  return finalNorm_.has_value() ? finalNorm_->apply(x) : x;
}

void Encoder::prepare(OperandBuilder& builder, bool isTraining) {
  embeddings_.prepare(builder, isTraining);
  bool hasBackward = embeddings_.isTrained();  // below the lowest trained parameter there is no backward pass
  for (Block* block : runs_) {
    hasBackward = hasBackward || block->isTrained();
    block->prepare(builder, isTraining && hasBackward);
  }
}

void Encoder::mergeAdapters() {
  embeddings_.mergeAdapters();
  for (Block& block : blocks_) block.mergeAdapters();
}

}  // namespace bertune
