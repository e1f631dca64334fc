/*
 * bundle: postern.conf and the files that it names, the rule files and what those name, as bytes.
 * The readers themselves say which files those are, so there is no second notion of it here. It
 * holds private keys, and so is wiped when it goes.
 *
 * As bytes: a magic, then for each entry four lengths (64 bits, big-endian) and the name, the
 * reason why it could not be read, the folder (of the first entry) or the role (of the others), and
 * the content. The first entry is postern.conf.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "policy/read.h"
#include "proxy/config/read.h"

#define MAGIC SPAN("postern bundle 2\n")

enum {
	FILE_MAX = 16 * 1024 * 1024,
	ALL_FILES_MAX = 40 * 1024 * 1024, /* the contents together */
	INCLUDES_MAX = 10,                /* files that name files, as rules_read follows them */
	FILES_MAX = 4096,
	NAME_MAX_BYTES = 4096,
	PARTS = 4, /* name, problem, folder or role, content */
	LENGTHS = PARTS * 8
};

struct bundle {
	struct arena *arena; /* owned; holds this struct too */
	const char *folder;
	struct bundle_file *files; /* the first is postern.conf */
	size_t count;
	size_t size_bytes; /* of the contents */
};

/* Third part of an entry that is not the first. */
static const char *const roles[] = {
	[BUNDLE_CONFIG] = "", [BUNDLE_RULES] = "rules", [BUNDLE_TEXT] = "text"};

static void wipe_files(void *context)
{
	struct bundle *bundle = context;

	for (size_t i = 0; i < bundle->count; i++)
		explicit_bzero((void *)bundle->files[i].content.at, bundle->files[i].content.len);
}

static struct bundle *bundle_new(const char *folder)
{
	struct arena *arena = arena_new(1024);
	struct bundle *bundle = arena_alloc(arena, sizeof(*bundle));

	bundle->arena = arena;
	bundle->folder = arena_string(arena, span_text(folder));
	arena_on_free(arena, wipe_files, bundle);
	return bundle;
}

void bundle_free(struct bundle **bundle)
{
	struct arena *arena;

	if (!*bundle)
		return;
	arena = (*bundle)->arena;
	*bundle = NULL;
	arena_free(&arena);
}

static void add_file(struct bundle *bundle, enum bundle_role role, const char *name,
	const char *problem, struct span content)
{
	struct bundle_file *file =
		reader_append(bundle->arena, &bundle->files, &bundle->count, sizeof(*file));

	file->name = arena_string(bundle->arena, span_text(name));
	file->problem = problem ? arena_string(bundle->arena, span_text(problem)) : NULL;
	file->content = arena_span(bundle->arena, content);
	file->role = role;
	bundle->size_bytes += content.len;
}

struct bundle *bundle_of_text(const char *config_path, struct span text)
{
	const char *slash = strrchr(config_path, '/');
	struct bundle *bundle;

	if (config_path[0] == '/' && slash > config_path) {
		char *folder = memory_string(config_path);

		folder[slash - config_path] = '\0';
		bundle = bundle_new(folder);
		free(folder);
	} else {
		bundle = bundle_new(config_path[0] == '/' ? "/" : "");
	}
	add_file(bundle, BUNDLE_CONFIG, config_path, NULL, text);
	return bundle;
}

void bundle_add(struct bundle *bundle, const char *name, struct span content)
{
	add_file(bundle, BUNDLE_CONFIG, name, NULL, content);
}

/* --- from the disk --- */

/* All of an open file. false: err says why. */
static bool read_all(int fd, struct buffer *out, struct err *err)
{
	for (;;) {
		char *at = buffer_reserve(out, 16384);
		ssize_t got;

		if (!at)
			return err_set(err, "it is larger than %d MB", FILE_MAX / 1024 / 1024);
		got = read(fd, at, 16384);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, "%s", strerror(errno));
		if (got == 0)
			return true;
		buffer_added(out, (size_t)got);
	}
}

/* A file's content; a device or pipe is refused rather than waited for. */
static bool read_file(const char *path, struct buffer *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool ok = false;

	if (fd < 0)
		return err_set(err, "%s", strerror(errno));
	if (fstat(fd, &st) != 0)
		err_set(err, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		err_set(err, "it is not a regular file");
	else
		ok = read_all(fd, out, err);
	close(fd);
	return ok;
}

/* The buffer once held a key. */
static void buffer_wipe(struct buffer *b)
{
	if (b->data)
		explicit_bzero(b->data, b->capacity);
	buffer_free(b);
}

/* The folder of a file, absolute and without symbolic links; owned by the caller. */
static char *folder_of(const char *path)
{
	char *copy = memory_string(path), *slash = strrchr(copy, '/'), *folder;

	if (slash)
		slash[slash == copy] = '\0';
	folder = realpath(slash ? copy : ".", NULL);
	free(copy);
	return folder ? folder : memory_string("");
}

static const char *path_of(const struct bundle *bundle, const char *name)
{
	if (name[0] == '/' || !bundle->folder[0])
		return name;
	return arena_print(bundle->arena, "%s/%s", bundle->folder, name);
}

static void load_named(struct bundle *bundle, enum bundle_role role, const char *name)
{
	struct buffer content = BUFFER_INIT(FILE_MAX);
	const char *path, *problem;
	struct err why;
	bool ok;

	if (bundle_find(bundle, name) || bundle->count >= FILES_MAX ||
		strlen(name) > NAME_MAX_BYTES)
		return;
	path = path_of(bundle, name);
	ok = read_file(path, &content, &why);
	if (ok && bundle->size_bytes + content.len > ALL_FILES_MAX)
		ok = err_set(&why, "with it all files are larger than %d MB together",
			ALL_FILES_MAX / 1024 / 1024);
	if (ok) {
		add_file(bundle, role, name, NULL, buffer_span(&content));
	} else {
		problem = role == BUNDLE_CONFIG
				  ? arena_print(bundle->arena, "%s: %s", path, why.text)
				  : why.text;
		add_file(bundle, role, name, problem, SPAN(""));
	}
	buffer_wipe(&content);
}

/* --- rule files --- */

/* Files that a rule file names, and what those name in turn. */
struct naming {
	struct bundle *bundle;
	const char *path; /* of the file that names */
	unsigned depth;   /* of includes */
};

static void load_rule_file(
	struct bundle *bundle, enum bundle_role role, const char *path, unsigned depth);

static void on_named(void *context, const char *name, bool rules)
{
	struct naming *naming = context;
	const char *path = rules_join(naming->bundle->arena, naming->path, name);

	if (rules && naming->depth < INCLUDES_MAX)
		load_rule_file(naming->bundle, BUNDLE_TEXT, path, naming->depth + 1);
	else if (!rules)
		load_named(naming->bundle, BUNDLE_TEXT, path);
}

static void load_rule_file(
	struct bundle *bundle, enum bundle_role role, const char *path, unsigned depth)
{
	struct naming naming = {bundle, path, depth};
	const struct bundle_file *file;

	if (bundle_find(bundle, path))
		return;
	load_named(bundle, role, path);
	file = bundle_find(bundle, path);
	if (file && !file->problem)
		rules_files(file->content, on_named, &naming);
}

/* A path that begins with our own folder, whose name may hold what glob takes for a pattern. */
static const char *glob_pattern(const struct bundle *bundle, const char *rules)
{
	size_t len = strlen(bundle->folder);
	char *out, *end;

	if (strncmp(rules, bundle->folder, len) != 0)
		return rules;
	out = end = arena_alloc(bundle->arena, 2 * len + strlen(rules + len) + 1);
	for (size_t i = 0; i < len; i++) {
		if (strchr("*?[\\", rules[i]))
			*end++ = '\\';
		*end++ = rules[i];
	}
	strcpy(end, rules + len);
	return out;
}

/* Why a pattern's folder can't be looked into; NULL: it can, or is not there. */
static const char *folder_problem(const struct bundle *bundle, const char *pattern)
{
	char *folder = arena_string(bundle->arena, span_text(pattern)),
	     *slash = strrchr(folder, '/');
	DIR *dir;

	if (slash)
		*slash = '\0';
	dir = opendir(slash && slash > folder ? folder : "/");
	if (dir)
		closedir(dir);
	return dir || errno == ENOENT || errno == ENOTDIR ? NULL : strerror(errno);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void load_rules(struct bundle *bundle, const char *rules)
{
	const char *problem = NULL;
	glob_t found;

	switch (glob(glob_pattern(bundle, rules), GLOB_NOSORT, NULL, &found)) {
	case 0:
		qsort(found.gl_pathv, found.gl_pathc, sizeof(found.gl_pathv[0]), by_bytes);
		for (size_t i = 0; i < found.gl_pathc; i++)
			load_rule_file(bundle, BUNDLE_RULES, found.gl_pathv[i], 0);
		globfree(&found);
		return;
	case GLOB_NOMATCH:
		problem = folder_problem(bundle, rules);
		break;
	default:
		problem = "the file names can't be read";
	}
	if (problem)
		add_file(bundle, BUNDLE_RULES, rules, problem, SPAN(""));
}

/* --- all of it --- */

bool bundle_load(struct bundle **out, const char *config_path, struct err *err)
{
	struct buffer content = BUFFER_INIT(FILE_MAX), report = BUFFER_INIT(0);
	struct file_names names = {NULL, 0};
	struct reader_result result;
	struct bundle *bundle;
	char *folder;
	struct err why;

	if (!read_file(config_path, &content, &why)) {
		buffer_free(&content);
		return err_set(err, "can't read %s: %s", config_path, why.text);
	}
	folder = folder_of(config_path);
	bundle = bundle_new(folder);
	free(folder);
	add_file(bundle, BUNDLE_CONFIG, config_path, NULL, buffer_span(&content));
	buffer_free(&content);
	result = config_read(bundle, &report, &names);
	for (size_t i = 0; i < names.count; i++)
		load_named(bundle, BUNDLE_CONFIG, names.items[i]);
	load_rules(bundle, result.config->rules);
	config_free(&result.config);
	buffer_free(&report);
	*out = bundle;
	return true;
}

struct bundle *bundle_of_rules(const char *const *paths, size_t n_paths)
{
	struct bundle *bundle = bundle_new("");

	add_file(bundle, BUNDLE_CONFIG, "(none)", NULL, SPAN(""));
	for (size_t i = 0; i < n_paths; i++)
		load_rule_file(bundle, BUNDLE_RULES, paths[i], 0);
	return bundle;
}

const char *const *bundle_rules(const struct bundle *bundle, struct arena *arena, size_t *n)
{
	const char **paths = arena_alloc(arena, bundle->count * sizeof(*paths));

	*n = 0;
	for (size_t i = 1; i < bundle->count; i++)
		if (bundle->files[i].role == BUNDLE_RULES)
			paths[(*n)++] = bundle->files[i].name;
	return paths;
}

static bool read_from_bundle(
	void *context, const char *path, struct span *content, const char **problem)
{
	const struct bundle_file *file = bundle_find(context, path);

	if (!file || file->problem) {
		*problem = file ? file->problem : "it is one file too many, or its name too long";
		return false;
	}
	*content = file->content;
	return true;
}

void bundle_rule_source(const struct bundle *bundle, struct rule_source *out)
{
	*out = (struct rule_source){read_from_bundle, (void *)bundle};
}

static bool read_config_text(
	void *context, const char *path, struct span *content, const char **problem)
{
	(void)path;
	(void)problem;
	*content = bundle_text(context);
	return true;
}

void bundle_config_source(const struct bundle *bundle, struct rule_source *out)
{
	*out = (struct rule_source){read_config_text, (void *)bundle};
}

/* --- as bytes --- */

static void put_length(char *at, uint64_t length)
{
	for (int i = 0; i < 8; i++)
		at[i] = (char)(uint8_t)(length >> (56 - 8 * i));
}

static uint64_t get_length(const char *at)
{
	uint64_t length = 0;

	for (int i = 0; i < 8; i++)
		length = length << 8 | (uint8_t)at[i];
	return length;
}

static bool write_file(const struct bundle_file *file, const char *third, struct buffer *out)
{
	struct span parts[PARTS] = {
		span_text(file->name), span_text(file->problem), span_text(third), file->content};
	char *lengths = buffer_reserve(out, LENGTHS);

	if (!lengths)
		return false;
	for (size_t i = 0; i < PARTS; i++)
		put_length(lengths + 8 * i, parts[i].len);
	buffer_added(out, LENGTHS);
	for (size_t i = 0; i < PARTS; i++)
		if (!buffer_add(out, parts[i]))
			return false;
	return true;
}

bool bundle_write(const struct bundle *bundle, struct buffer *out)
{
	if (!buffer_add(out, MAGIC))
		return false;
	for (size_t i = 0; i < bundle->count; i++)
		if (!write_file(&bundle->files[i],
			    i == 0 ? bundle->folder : roles[bundle->files[i].role], out))
			return false;
	return true;
}

/* Takes the next entry's parts; false: the bytes are not an entry's. */
static bool take_parts(struct span *rest, struct span parts[PARTS])
{
	static const size_t max[PARTS] = {
		NAME_MAX_BYTES, 2UL * NAME_MAX_BYTES, NAME_MAX_BYTES, FILE_MAX};
	struct span lengths = span_first(*rest, LENGTHS);

	if (lengths.len < LENGTHS)
		return false;
	*rest = span_from(*rest, LENGTHS);
	for (size_t i = 0; i < PARTS; i++) {
		uint64_t length = get_length(lengths.at + 8 * i);

		if (length > max[i] || length > rest->len)
			return false;
		parts[i] = span_first(*rest, length);
		*rest = span_from(*rest, length);
		/* All but the content are strings. */
		if (i < PARTS - 1 && length && memchr(parts[i].at, '\0', length))
			return false;
	}
	return parts[0].len > 0;
}

static enum bundle_role role_named(struct span word)
{
	for (size_t i = 0; i < COUNT_OF(roles); i++)
		if (span_equal(word, span_text(roles[i])))
			return (enum bundle_role)i;
	return BUNDLE_CONFIG;
}

bool bundle_read(struct bundle **out, struct span bytes, struct err *err)
{
	struct span rest = span_from(bytes, MAGIC.len), parts[PARTS];
	struct bundle *bundle;

	if (!span_starts(bytes, MAGIC))
		return err_set(err, "this is not a configuration bundle");
	bundle = bundle_new("");
	while (rest.len) {
		struct bundle_file *file;

		if (bundle->count == FILES_MAX || !take_parts(&rest, parts)) {
			bundle_free(&bundle);
			return err_set(err, "the configuration bundle is damaged");
		}
		file = reader_append(bundle->arena, &bundle->files, &bundle->count, sizeof(*file));
		file->name = arena_string(bundle->arena, parts[0]);
		file->problem = parts[1].len ? arena_string(bundle->arena, parts[1]) : NULL;
		file->content = arena_span(bundle->arena, parts[3]);
		if (bundle->count == 1)
			bundle->folder = arena_string(bundle->arena, parts[2]);
		else
			file->role = role_named(parts[2]);
	}
	if (bundle->count == 0) {
		bundle_free(&bundle);
		return err_set(err, "the configuration bundle is empty");
	}
	*out = bundle;
	return true;
}

/* --- inside --- */

const struct bundle_file *bundle_find(const struct bundle *bundle, const char *name)
{
	for (size_t i = 1; i < bundle->count; i++)
		if (strcmp(bundle->files[i].name, name) == 0)
			return &bundle->files[i];
	return NULL;
}

const char *bundle_name(const struct bundle *bundle)
{
	return bundle->files[0].name;
}

const char *bundle_folder(const struct bundle *bundle)
{
	return bundle->folder;
}

struct span bundle_text(const struct bundle *bundle)
{
	return bundle->files[0].content;
}
