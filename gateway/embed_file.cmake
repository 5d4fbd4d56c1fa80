# Writes the bytes of FILE into OUTPUT as the definition of SYMBOL; see embed_file() in CMakeLists.txt.
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "#include <string_view>\n\n#include \"gateway/embedded_files.h\"\n\n\
namespace semaphore::gateway {\n\nnamespace {\nconstexpr unsigned char kBytes[] = {\n${bytes}0};\n}  // namespace\n\n\
const std::string_view ${SYMBOL}(reinterpret_cast<const char*>(kBytes), sizeof kBytes - 1);\n\n\
}  // namespace semaphore::gateway\n")
