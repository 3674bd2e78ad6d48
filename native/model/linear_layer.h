// A linear layer of the model: rows of a weight and its bias, and the low-rank adapters (LoRA, Hu et al.
// 2021) of those rows: y = W x + b becomes W x + b + scaling * B A x.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/batch.h"
#include "core/parameters.h"
#include "model/training_pass.h"
#include "ops/linear.h"

namespace bertune {

struct Adapter {
  Parameter *a, *b;
  int64_t firstRow;  // among those of the layer
  Site site;         // of the dropout of its input, with `layer`
  double scaling, dropout;
};

class LinearLayer {
 public:
  LinearLayer() = default;
  // Rows [firstRow, firstRow + rows) of `weight` and `bias`; `bias` may be null.
  LinearLayer(Parameter& weight, Parameter* bias, int64_t firstRow, int64_t rows)
      : weight_(&weight), bias_(bias), firstRow_(firstRow), rows_(rows) {}

  void addAdapter(const Adapter& adapter) { adapters_.push_back(adapter); }
  bool hasAdapters() const { return !adapters_.empty(); }
  int64_t rows() const { return rows_; }
  bool isTrained() const;
  // What the products read, for a pass that begins now.
  void prepare(OperandBuilder& builder, bool wantsBackward);
  LinearWeights weights() const;

  // What the adapters add, [rows, out] of `type`; undefined where there are none. `selection`: the rows of x
  // that are wanted, where these are not all.
  at::Tensor addend(const at::Tensor& x, int64_t layer, const TrainingPass* pass, int64_t earlierRows,
                    at::ScalarType type, const at::Tensor& selection = {}) const;
  // The layer in float32 by LibTorch's operators, adapters included: for the small ones of a head.
  at::Tensor apply(const at::Tensor& x, int64_t layer, const TrainingPass* pass, int64_t earlierRows) const;

  // Adds the adapters to the weight that they adapt, and sets their B to zero.
  void mergeAdapters();

 private:
  Parameter *weight_ = nullptr, *bias_ = nullptr;
  int64_t firstRow_ = 0, rows_ = 0;
  std::vector<Adapter> adapters_;  // by row
  LinearOperands operands_;
};

}  // namespace bertune
