#include "model/layer_factory.h"

#include <algorithm>
#include <stdexcept>

namespace bertune {

LinearLayer LayerFactory::linear(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site,
                                 int64_t parts) {
  return rows(name, out, in, hasBias, site, parts, 0, out);
}

LinearLayer LayerFactory::rows(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site,
                               int64_t parts, int64_t firstRow, int64_t count) {
  Parameter& weight = parameters_.require(name + ".weight", {out, in});
  Parameter* bias = hasBias ? &parameters_.require(name + ".bias", {out}) : nullptr;
  LinearLayer layer(weight, bias, firstRow, count);
  const int64_t part = out / parts;
  std::vector<AdapterSpec> adapters;
  for (const AdapterSpec& adapter : lora_.adapters)
    if (adapter.linear == name) adapters.push_back(adapter);
  std::sort(adapters.begin(), adapters.end(),
            [](const AdapterSpec& a, const AdapterSpec& b) { return a.firstRow < b.firstRow; });
  int64_t end = 0;
  for (const AdapterSpec& adapter : adapters) {
    if (adapter.firstRow < end || adapter.rows > out - adapter.firstRow)
      throw std::invalid_argument("the rows of the adapters of " + name + " overlap, or are more than its " +
                                  std::to_string(out));
    end = adapter.firstRow + adapter.rows;
    adapted_[name] = true;
    Parameter &a = parameters_.require(adapter.a, {lora_.rank, in}),
              &b = parameters_.require(adapter.b, {adapter.rows, lora_.rank});
    const bool isInside = adapter.firstRow >= firstRow && end <= firstRow + count;
    const bool isOutside = end <= firstRow || adapter.firstRow >= firstRow + count;
    if (!isInside && !isOutside)
      throw std::invalid_argument("an adapter of " + name + " must be of whole parts of " +
                                  std::to_string(part) + " rows");
    if (isInside)
      layer.addAdapter({&a, &b, adapter.firstRow - firstRow,
                        static_cast<Site>(static_cast<uint64_t>(site) + adapter.firstRow / part),
                        lora_.scaling, lora_.dropout});
  }
  return layer;
}

NormLayer LayerFactory::norm(const std::string& name, int64_t size, const NormSpec& spec) {
  return {&parameters_.require(name + ".weight", {size}),
          spec.bias ? &parameters_.require(name + ".bias", {size}) : nullptr, spec.epsilon};
}

Parameter& LayerFactory::table(const std::string& name, int64_t rows, int64_t columns) {
  return parameters_.require(name, {rows, columns});
}

Parameter& LayerFactory::matrix(const std::string& name) {
  Parameter* parameter = parameters_.find(name);
  if (parameter == nullptr) throw std::invalid_argument("there is no parameter named '" + name + "'");
  if (parameter->value.dim() != 2)
    throw std::invalid_argument("parameter " + name + " must have 2 dimensions");
  return *parameter;
}

void LayerFactory::requireAllAdapted() const {
  for (const AdapterSpec& adapter : lora_.adapters)
    if (adapted_.count(adapter.linear) == 0)
      throw std::invalid_argument("there is no linear layer to adapt named '" + adapter.linear + "'");
}

}  // namespace bertune
