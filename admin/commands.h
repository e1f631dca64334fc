/* commands: the table of all commands, in the order of `postern help`. */
#ifndef ADMIN_COMMANDS_H
#define ADMIN_COMMANDS_H

#include <stddef.h>

#include "admin/command.h"

/* Ends with a NULL name. */
extern const struct cli_command cli_commands[];

#endif
