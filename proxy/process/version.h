/* The version, for people and for `postern version`. CMake sets it; what stands here is for builds
 * without. */
#ifndef PROXY_PROCESS_VERSION_H
#define PROXY_PROCESS_VERSION_H

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "0.1.0"
#endif

#endif
