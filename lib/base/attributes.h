/* Compiler attributes, named for what they mean here. */
#ifndef BASE_ATTRIBUTES_H
#define BASE_ATTRIBUTES_H

#define MUST_CHECK                      __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, arg)           __attribute__((format(printf, fmt, arg)))
#define UNUSED                          __attribute__((unused))
#define COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
