/*
 * replay: the main of a fuzz target outside libFuzzer. It hands each file of the given folders (or
 * the given files) to the target once, so that every input that ever broke something is tried again
 * with any compiler and sanitizer. An empty corpus is a failure: it would pass whatever the target
 * does.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { INPUT_MAX = 16 << 20 };

/* The input in hand, for the case that the target ends the process. */
static char current[4096];

static void say_current(void)
{
	static const char text[] = "replay: ended in the midst of ";
	if (current[0] != '\0' && write(2, text, sizeof(text) - 1) > 0 &&
		write(2, current, strlen(current)) > 0)
		(void)!write(2, "\n", 1);
}

static void on_signal(int number)
{
	say_current();
	signal(number, SIG_DFL);
	raise(number);
}

static void watch_for_death(void)
{
	atexit(say_current);
	signal(SIGABRT, on_signal);
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(say_current); /* it sees the other signals itself */
	else
		signal(SIGSEGV, on_signal);
}

static int fail(const char *what, const char *path)
{
	fprintf(stderr, "replay: %s %s\n", what, path);
	return -1;
}

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		return fail("can't open", path);
	/* A block of exactly the input's size lets the address sanitizer see a read past its end.
	 */
	struct stat st;
	if (fstat(fileno(f), &st) != 0 || st.st_size > INPUT_MAX) {
		fclose(f);
		return fail("can't use", path);
	}
	size_t size = (size_t)st.st_size;
	uint8_t *data = malloc(size == 0 ? 1 : size);
	size_t got = data == NULL ? 0 : fread(data, 1, size, f);
	fclose(f);
	if (data == NULL || got != size) {
		free(data);
		return fail("can't read", path);
	}
	snprintf(current, sizeof(current), "%s", path);
	LLVMFuzzerTestOneInput(data, size);
	current[0] = '\0';
	free(data);
	return 1;
}

/* How many inputs were replayed; negative on an error. */
static int replay(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return fail("no such file or folder:", path);
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);
	if (n < 0)
		return fail("can't list", path);
	int replayed = 0;
	for (int i = 0; i < n; i++) {
		char name[4096];
		if (entries[i]->d_name[0] != '.' && replayed >= 0) {
			snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
			int more = replay(name);
			replayed = more < 0 ? more : replayed + more;
		}
		free(entries[i]);
	}
	free(entries);
	return replayed;
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	watch_for_death();
	int replayed = 0;
	for (int i = 1; i < argc; i++) {
		int more = replay(argv[i]);
		if (more < 0)
			return 1;
		replayed += more;
	}
	if (replayed == 0) {
		fprintf(stderr, "replay: no inputs\n");
		return 1;
	}
	printf("%d inputs\n", replayed);
	return 0;
}
