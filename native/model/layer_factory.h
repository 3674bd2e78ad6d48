// Finds the parameters of layers by their names, and checks their shapes.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "core/parameters.h"
#include "core/spec.h"
#include "model/linear_layer.h"
#include "model/norm_layer.h"

namespace bertune {

class LayerFactory {
 public:
  LayerFactory(Parameters& parameters, LoraSpec lora) : parameters_(parameters), lora_(std::move(lora)) {}

  // `site` is that of the adapters of the layer's first rows; where a layer has parts, those of part i are at
  // site + i.
  LinearLayer linear(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site,
                     int64_t parts = 1);
  // Some rows of a layer that `linear` has made: the same parameters again.
  LinearLayer rows(const std::string& name, int64_t out, int64_t in, bool hasBias, Site site, int64_t parts,
                   int64_t firstRow, int64_t count);
  NormLayer norm(const std::string& name, int64_t size, const NormSpec& spec);
  Parameter& table(const std::string& name, int64_t rows, int64_t columns);
  Parameter& matrix(const std::string& name);  // whatever its sizes; throws where there is none
  bool has(const std::string& name) { return parameters_.find(name) != nullptr; }

  // Throws std::invalid_argument where an adapter is of no layer, or of rows that are not one part.
  void requireAllAdapted() const;

 private:
  Parameters& parameters_;
  LoraSpec lora_;
  std::map<std::string, bool> adapted_;  // names of layers with adapters
};

}  // namespace bertune
