/*
 * Writes Authentication-Results of results that test_authres_field.py makes up. A line in: the
 * authserv-id, 1 if UTF-8 may stand in it, and each result in hexadecimal digits. A line out: the
 * field in such digits, or "-" where no result could stand in one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mail/authres_field.h"
#include "lib/mail/mime_decode.h"

enum { RESULTS_MAX = 64, FIELD_MAX = 16 * 1024, LINE_MAX_LEN = 1024 * 1024 };

static struct span from_hex(char *hex)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++)
		if (!hex_byte(hex[2 * i], hex[2 * i + 1], &hex[i]))
			exit(2);
	return span_make(hex, len);
}

static void answer(char *line)
{
	struct buffer out = BUFFER_INIT(FIELD_MAX);
	struct span results[RESULTS_MAX], id = span_text(strtok(line, " \n"));
	const char *utf8 = strtok(NULL, " \n");
	size_t n = 0;

	for (char *word; n < RESULTS_MAX && (word = strtok(NULL, " \n"));)
		results[n++] = from_hex(word);
	if (!utf8 || !authres_field_write(id, results, n, *utf8 == '1', &out))
		putchar('-');
	for (size_t i = 0; i < out.len; i++)
		printf("%02x", (unsigned char)buffer_span(&out).at[i]);
	putchar('\n');
	buffer_free(&out);
}

int main(void)
{
	static char line[LINE_MAX_LEN];

	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
