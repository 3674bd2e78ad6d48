// Text from outside within a message for people.
#pragma once

#include <string>

namespace bertune {

// On one line and of a bearable length, whatever it holds.
inline std::string onOneLine(std::string text, size_t most = 300) {
  for (const char* separator : {"\u2028", "\u2029"})  // ends of lines for JavaScript
    for (size_t at = text.find(separator); at != std::string::npos; at = text.find(separator, at))
      text.replace(at, 3, " ");
  for (char& character : text)
    if (static_cast<unsigned char>(character) < ' ' || character == '\x7f') character = ' ';
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

}  // namespace bertune
