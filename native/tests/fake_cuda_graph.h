// Stream capture of the fake GPU (fake_cuda.cc), with at::cuda::CUDAGraph under its own names. What a thread
// does on a device while it records is noted with its arguments and has no effect; a replay does it again. As
// on a GPU numbers are those of the recording, and memory is what is there then. What CUDA forbids while a
// stream records is an error, and so is memory that was given back since.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <functional>

namespace fake {

// Of the calling thread.
bool isRecording();
// Throws while it records.
void refuseInCapture(const char* what);
// What is done in each replay, and not now; else, now.
void note(std::function<void()> work);
// The same of what writes to a tensor: where that was made while it records it is done now too, since what
// follows may take it for indices.
void note(const at::TensorBase& target, const std::function<void()>& work);
// A tensor that was made while it records: the memory is the graph's.
void keep(const at::Tensor& tensor);
// Fails in a replay that comes when the memory was given back.
std::function<void()> lifeOf(const at::TensorBase& tensor);
// An operator on tensors of the device.
void run(const c10::OperatorHandle& op, torch::jit::Stack* stack);
// Nodes of what was recorded so far.
size_t nodes();

}  // namespace fake
