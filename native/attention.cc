#include "attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "dropout.h"
#include "kernels.h"
#include "phases.h"

namespace bertune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kQueryBlock = 128;  // 128 x 512 floats of scores stay in a core's second-level cache

// One head of one sequence. Work items are ordered head by head: each thread then meets every sequence
// length equally often, and long sequences cannot all fall to one thread.
struct Item {
  int64_t head;
  int64_t start;
  int64_t length;
  int64_t queries;      // the first rows of the sequence that ask
  int64_t firstOutput;  // the row of the result where theirs begin
};

class Items {
 public:
  Items(const std::vector<int32_t>& cuSeqlens, int64_t heads, Queries queries)
      : cuSeqlens_(cuSeqlens), heads_(heads), queries_(queries) {}
  int64_t count() const { return sequences() * heads_; }
  Item operator[](int64_t index) const {
    const int64_t sequence = index % sequences();
    const int64_t start = cuSeqlens_[sequence];
    const int64_t length = cuSeqlens_[sequence + 1] - start, head = index / sequences();
    if (queries_ == Queries::First) return {head, start, length, 1, sequence};
    return {head, start, length, length, start};
  }
  int64_t outputs() const { return queries_ == Queries::First ? sequences() : cuSeqlens_.back(); }
  int64_t longest() const {
    int64_t longest = 0;
    for (size_t i = 1; i < cuSeqlens_.size(); ++i)
      longest = std::max<int64_t>(longest, cuSeqlens_[i] - cuSeqlens_[i - 1]);
    return longest;
  }

 private:
  int64_t sequences() const { return static_cast<int64_t>(cuSeqlens_.size()) - 1; }
  const std::vector<int32_t>& cuSeqlens_;
  int64_t heads_;
  Queries queries_;
};

// The rows of one item in a [tokens, parts, heads, headSize] tensor: [length, headSize].
at::Tensor rowsOf(const at::Tensor& tensor, const Item& item, int64_t part) {
  return tensor.select(2, item.head).select(1, part).narrow(0, item.start, item.length);
}

// The rows that ask, and those that were asked.
struct Inputs {
  at::Tensor query, keys, values;  // float32
  Inputs(const at::Tensor& qkv, const Item& item)
      : query(rowsOf(qkv, item, 0).narrow(0, 0, item.queries).to(at::kFloat)),
        keys(rowsOf(qkv, item, 1).to(at::kFloat)),
        values(rowsOf(qkv, item, 2).to(at::kFloat)) {}
};

// The rows of one item in a tensor shaped like the result, [outputs, heads, headSize].
at::Tensor outputRows(const at::Tensor& tensor, const Item& item) {
  return tensor.select(1, item.head).narrow(0, item.firstOutput, item.queries);
}

// Where float32 products go that end in `target`: there itself if it is float32, else a place of their own
// from which `finish` rounds them.
class Products {
 public:
  explicit Products(const at::Tensor& target)
      : target_(target),
        rows_(target.scalar_type() == at::kFloat ? target : at::empty(target.sizes(), at::kFloat)) {}
  const at::Tensor& rows() const { return rows_; }
  void finish() const {
    if (!rows_.is_same(target_)) target_.copy_(rows_);
  }

 private:
  at::Tensor target_, rows_;
};

struct Scratch {
  at::Tensor scores;
  at::Tensor gradients;
  explicit Scratch(int64_t longest)
      : scores(at::empty({kQueryBlock * longest})), gradients(at::empty({kQueryBlock * longest})) {}
  static at::Tensor block(const at::Tensor& buffer, int64_t rows, int64_t columns) {
    return buffer.narrow(0, 0, rows * columns).view({rows, columns});
  }
};

template <typename Body>
void forEachItem(const Items& items, const Body& body) {
  const int64_t longest = items.longest();
  at::parallel_for(0, items.count(), 1, [&](int64_t begin, int64_t end) {
    const at::AutoDispatchBelowADInplaceOrView guard;  // thread-local, so each worker thread needs its own
    const phases::Scope phase(phases::Phase::Attention);
    Scratch scratch(longest);
    for (int64_t i = begin; i < end; ++i) body(items[i], scratch);
  });
}

double scaleOf(const at::Tensor& qkv) { return 1.0 / std::sqrt(static_cast<double>(qkv.size(3))); }

void forwardItem(const at::Tensor& qkv, const Item& item, const Mask& mask, Scratch& scratch, at::Tensor& out,
                 at::Tensor& logSums) {
  const int64_t heads = qkv.size(2);
  const double scale = scaleOf(qkv);
  const Inputs in(qkv, item);
  const Products context(outputRows(out, item));
  auto* logSum = logSums.mutable_data_ptr<float>() + item.head * logSums.size(1) + item.firstOutput;
  for (int64_t first = 0; first < item.queries; first += kQueryBlock) {
    const int64_t rows = std::min(kQueryBlock, item.queries - first);
    at::Tensor scores = Scratch::block(scratch.scores, rows, item.length);
    scores.addmm_(in.query.narrow(0, first, rows), in.keys.t(), /*beta=*/0, /*alpha=*/scale);
    auto* row = scores.mutable_data_ptr<float>();
    for (int64_t i = 0; i < rows; ++i, row += item.length)
      logSum[first + i] =
          kernels::softmaxDropout(row, item.length, mask, (item.start + first + i) * heads + item.head);
    context.rows().narrow(0, first, rows).addmm_(scores, in.values, /*beta=*/0);
  }
  context.finish();
}

// With P = softmax(S), D = dropout(P), O = D V: dV = D^T dO, dD = dO V^T, dS = P * (mask * dD - rowsum(dO *
// O)), dQ = dS K, dK = dS^T Q (Dao et al. 2022, FlashAttention, appendix B).
void backwardItem(const at::Tensor& qkv, const at::Tensor& out, const at::Tensor& logSums,
                  const at::Tensor& dOut, const Item& item, const Mask& mask, Scratch& scratch,
                  at::Tensor& dQkv) {
  const int64_t heads = qkv.size(2);
  const double scale = scaleOf(qkv);
  const Inputs in(qkv, item);
  const at::Tensor gradient = outputRows(dOut, item).to(at::kFloat);
  const at::Tensor deltas = (gradient * outputRows(out, item).to(at::kFloat)).sum(1);
  const auto* delta = deltas.const_data_ptr<float>();
  const auto* logSum = logSums.const_data_ptr<float>() + item.head * logSums.size(1) + item.firstOutput;
  const at::Tensor dQueries = rowsOf(dQkv, item, 0);
  const Products dQuery(dQueries.narrow(0, 0, item.queries)), dKeys(rowsOf(dQkv, item, 1)),
      dValues(rowsOf(dQkv, item, 2));
  for (int64_t first = 0; first < item.queries; first += kQueryBlock) {
    const int64_t rows = std::min(kQueryBlock, item.queries - first);
    const double before = first == 0 ? 0 : 1;  // the first block finds nothing to add to
    const at::Tensor queryRows = in.query.narrow(0, first, rows),
                     gradientRows = gradient.narrow(0, first, rows);
    at::Tensor scores = Scratch::block(scratch.scores, rows, item.length);
    at::Tensor dScores = Scratch::block(scratch.gradients, rows, item.length);
    scores.addmm_(queryRows, in.keys.t(), /*beta=*/0, scale);
    dScores.addmm_(gradientRows, in.values.t(), /*beta=*/0);
    auto* score = scores.mutable_data_ptr<float>();
    auto* dScore = dScores.mutable_data_ptr<float>();
    for (int64_t i = 0; i < rows; ++i, score += item.length, dScore += item.length)
      kernels::softmaxDropoutBackward(score, dScore, item.length, logSum[first + i], delta[first + i], mask,
                                      (item.start + first + i) * heads + item.head);
    dValues.rows().addmm_(scores.t(), gradientRows, before);
    dKeys.rows().addmm_(dScores.t(), queryRows, before, scale);
    dQuery.rows().narrow(0, first, rows).addmm_(dScores, in.keys, /*beta=*/0, scale);
  }
  dQueries.narrow(0, item.queries, item.length - item.queries).zero_();
  for (const Products* products : {&dQuery, &dKeys, &dValues}) products->finish();
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv,
                            const std::vector<int32_t>& cuSeqlens, const Mask& mask, Queries queries) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const int64_t heads = qkv.size(2), headSize = qkv.size(3);
    const Items items(cuSeqlens, heads, queries);
    at::Tensor out = at::empty({items.outputs(), heads, headSize}, qkv.options());
    at::Tensor logSums = at::empty({heads, items.outputs()}, qkv.options().dtype(at::kFloat));
    forEachItem(items, [&](const Item& item, Scratch& scratch) {
      forwardItem(qkv, item, mask, scratch, out, logSums);
    });
    context->save_for_backward({qkv, out, logSums});
    context->saved_data["cuSeqlens"] = std::vector<int64_t>(cuSeqlens.begin(), cuSeqlens.end());
    context->saved_data["queries"] = static_cast<int64_t>(queries);
    saveMask(context, mask);
    return out.view({items.outputs(), heads * headSize});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &qkv = saved[0], &out = saved[1], &logSums = saved[2];
    const at::Tensor dOut = gradients[0].contiguous().view(out.sizes());
    const std::vector<int64_t> offsets = context->saved_data["cuSeqlens"].toIntVector();
    const std::vector<int32_t> cuSeqlens(offsets.begin(), offsets.end());
    const auto queries = static_cast<Queries>(context->saved_data["queries"].toInt());
    const Mask mask = savedMask(context);
    at::Tensor dQkv = at::empty_like(qkv);
    forEachItem({cuSeqlens, qkv.size(2), queries}, [&](const Item& item, Scratch& scratch) {
      backwardItem(qkv, out, logSums, dOut, item, mask, scratch, dQkv);
    });
    return {dQkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor attention(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const Mask& mask,
                     Queries queries) {
  return qkv.is_cpu() ? Attention::apply(qkv, cuSeqlens, mask, queries)
                      : attentionComposed(qkv, cuSeqlens, mask, queries);
}

at::Tensor attentionComposed(const at::Tensor& qkv, const std::vector<int32_t>& cuSeqlens, const Mask& mask,
                             Queries queries) {
  const int64_t heads = qkv.size(2), headSize = qkv.size(3);
  std::vector<at::Tensor> outputs;
  for (size_t i = 1; i < cuSeqlens.size(); ++i) {
    const int64_t start = cuSeqlens[i - 1], length = cuSeqlens[i] - start;
    const int64_t asked = queries == Queries::First ? 1 : length;
    const at::Tensor sequence =
        qkv.narrow(0, start, length).permute({1, 2, 0, 3});  // [3, heads, length, headSize]
    const at::Tensor scores = at::matmul(sequence[0].narrow(1, 0, asked), sequence[1].transpose(1, 2)) /
                              std::sqrt(static_cast<double>(headSize));
    at::Tensor probabilities = at::softmax(scores, -1);
    if (!mask.dropsNothing()) {
      Mask rows = mask;
      rows.firstRow += start * heads;
      const at::Tensor kept = maskTensor(rows, asked * heads, length, qkv.device());
      probabilities = probabilities * kept.view({asked, heads, length}).transpose(0, 1).to(qkv.scalar_type());
    }
    outputs.push_back(
        at::matmul(probabilities, sequence[2]).permute({1, 0, 2}).reshape({asked, heads * headSize}));
  }
  return at::cat(outputs);
}

}  // namespace bertune
