// Which errors mean that memory ran out.
#pragma once

#include <exception>

namespace bertune {

bool isOutOfMemory(const std::exception& error);

}  // namespace bertune
