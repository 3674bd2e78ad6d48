// The only place that includes node-addon-api, so that its defines always apply.
// NODE_ADDON_API_CPP_EXCEPTIONS_ALL turns every C++ exception on the JavaScript thread into an Error.
#pragma once

#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL
#include <napi.h>
