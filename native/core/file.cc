// What of core/file.h does not depend on the operating system.
#include "core/file.h"

namespace hotbolt {

bool FileSystem::rename_new(const std::string& source, const std::string& target) {
  if (status(target)) return false;
  rename(source, target);
  return true;
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace hotbolt
