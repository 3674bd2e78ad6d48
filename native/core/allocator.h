// LibTorch's allocator for CPU tensors with a memory: large blocks are kept when a tensor dies, and serve the
// next one. A training step asks for the same hundreds of megabytes again and again; from the operating
// system each page of them would come with a page fault and full of zeros, which is a tenth of the step.
#pragma once

namespace bertune {

// From now on LibTorch allocates in this way. To be called before any tensor is made; again it does nothing
// new.
void installAllocator();

// Gives the blocks that serve no tensor back to the operating system, and those of a GPU to its driver.
void releaseCachedMemory();

}  // namespace bertune
