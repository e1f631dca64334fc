/*
 * sender FOLDER BYTES...: somebody who signs what he sends: writes into the folder, for each
 * number, a message BYTES.eml of about so many bytes (bench/sample.h), which `load -m` sends, and
 * has DNS say what a receiver wants to know of him. Prints "ready PORT" when the messages are
 * there, and answers at that port until it is ended.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/sample.h"
#include "bench/tool.h"

enum { BYTES_MAX = 2 << 20, HEADER_BYTES = 2000 };

static void write_message(struct sample *sample, const char *folder, const char *bytes)
{
	unsigned long size = strtoul(bytes, NULL, 10);
	char path[4096];
	FILE *file;

	if (size <= HEADER_BYTES || size > BYTES_MAX) {
		fprintf(stderr, "sender: %s: a number from %d to %d is wanted\n", bytes,
			HEADER_BYTES + 1, BYTES_MAX);
		exit(2);
	}
	sample_write(sample, 0, size - HEADER_BYTES);
	snprintf(path, sizeof(path), "%s/%s.eml", folder, bytes);
	file = fopen(path, "w");
	if (!file)
		tool_die(path);
	fwrite(buffer_span(&sample->section).at, 1, sample->section.len, file);
	fputs("\r\n", file);
	fwrite(buffer_span(&sample->body).at, 1, sample->body.len, file);
	if (fclose(file) != 0)
		tool_die(path);
}

int main(int argc, char **argv)
{
	struct name_text names[SAMPLE_NAMES];
	struct sample sample;
	uint16_t port;
	int fd;

	if (argc < 3) {
		fprintf(stderr, "usage: sender FOLDER BYTES...\n");
		return 2;
	}
	sample_open(&sample);
	for (int i = 2; i < argc; i++)
		write_message(&sample, argv[1], argv[i]);
	sample_names(&sample, names);
	fd = names_socket(&port);
	printf("ready %u\n", port);
	fflush(stdout);
	names_serve(fd, names, SAMPLE_NAMES);
}
