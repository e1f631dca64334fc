/* postern: one program; its first word says which part of it runs (cli_commands in commands.c). */
#include "admin/command.h"
#include "proxy/process/title.h"

int main(int argc, char **argv)
{
	struct title title;
	int status;

	title_init(&title, argc, argv);
	status = cli_main(argc, title.argv, &title);
	title_free(&title);
	return status;
}
