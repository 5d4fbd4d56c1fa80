// Files that are part of the program, byte for byte, so that one binary is all there is to install.
// CMakeLists.txt says which file each one is.
#ifndef SEMAPHORE_GATEWAY_EMBEDDED_FILES_H_
#define SEMAPHORE_GATEWAY_EMBEDDED_FILES_H_

#include <string_view>

namespace semaphore::gateway {

extern const std::string_view kCommentedProtos;  // a FileDescriptorSet with the sources' comments
extern const std::string_view kExplorerHtml;
extern const std::string_view kExplorerCss;
extern const std::string_view kExplorerJs;
extern const std::string_view kStatusPageHtml;

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_EMBEDDED_FILES_H_
