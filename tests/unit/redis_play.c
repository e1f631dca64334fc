#include "redis_play.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fail.h"
#include "lib/store/redis_store.h"

enum { PATIENCE_MS = 40 * 1000, ARGS_MAX = 48 };

void redis_play_open(struct redis_play *play)
{
	memset(play, 0, sizeof(*play));
	loop_init(&play->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, play->log_fds), 0);
	log_init(&play->log, play->log_fds[0], true, &play->loop.clock, "test");
	strcpy(play->folder, "/tmp/postern-redis.XXXXXX");
	assert_non_null(mkdtemp(play->folder));
	play->answer = BUFFER_INIT(STORE_ANSWER_MAX);
}

void redis_play_close(struct redis_play *play)
{
	const char *const remove[] = {"rm", "-rf", play->folder, NULL};

	store_close(&play->store);
	loop_close(&play->loop);
	for (unsigned i = 0; i < play->n_servers; i++)
		redis_play_kill(play, i);
	log_close(&play->log);
	close(play->log_fds[0]);
	close(play->log_fds[1]);
	buffer_free(&play->answer);
	assert_int_equal(redis_play_run(remove), 0);
}

/* --- servers --- */

int redis_play_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd, port;

	/* A node of a cluster has a second port, 10000 above its own. */
	do {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		address.sin_port = 0;
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
		port = ntohs(address.sin_port);
		close(fd);
	} while (port > 55000);
	return port;
}

static void be_server(const char *const *argv, const char *folder)
{
	int out = open("out", O_WRONLY | O_CREAT | O_APPEND, 0600);

	(void)folder;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, 1);
	dup2(out, 2);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static void run_server(struct redis_play_server *server)
{
	const char *argv[ARGS_MAX] = {"redis-server"};
	char port[12], file[192];
	size_t n = 1;

	snprintf(port, sizeof(port), "%d", server->port);
	snprintf(file, sizeof(file), "%s/%s", server->folder, server->file ? server->file : "");
	if (server->file)
		argv[n++] = file;
	else
		for (const char *const *plain = (const char *const[]){"--port", port, "--bind",
			     "127.0.0.1", "--save", "", "--dir", server->folder, "--unixsocket",
			     server->socket, NULL};
			*plain; plain++)
			argv[n++] = *plain;
	for (const char *const *option = server->options; option && *option; option++)
		argv[n++] = *option;
	argv[n] = NULL;
	fflush(NULL);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		if (chdir(server->folder) == 0)
			be_server(argv, server->folder);
		_exit(127);
	}
}

static bool listens(const struct redis_play_server *server)
{
	redisContext *c = redisConnect("127.0.0.1", server->port);
	redisReply *reply = c && !c->err ? redisCommand(c, "PING") : NULL;
	bool answers = reply != NULL; /* NOAUTH is an answer too */

	if (reply)
		answers = reply->type != REDIS_REPLY_ERROR || !strstr(reply->str, "LOADING");
	freeReplyObject(reply);
	if (c)
		redisFree(c);
	return answers;
}

/* false: it has ended, perhaps since somebody else has its port, or that of its bus, by now. */
static bool wait_for(struct redis_play_server *server)
{
	bool tls = false;

	for (const char *const *option = server->options; option && *option; option++)
		tls = tls || strcmp(*option, "--tls-port") == 0;
	for (int i = 0; i < 2000; i++) {
		if (tls ? access(server->socket, F_OK) == 0 : listens(server))
			return true;
		if (waitpid(server->pid, NULL, WNOHANG) != 0)
			break;
		usleep(10 * 1000);
	}
	server->pid = 0;
	return false;
}

static unsigned add_server(struct redis_play *play, const char *const *options)
{
	unsigned number = play->n_servers++;
	struct redis_play_server *server = &play->servers[number];
	char folder[sizeof(play->folder)];

	strcpy(folder, play->folder);
	assert_true(number < REDIS_PLAY_SERVERS);
	server->port = redis_play_port();
	server->options = options;
	snprintf(server->folder, sizeof(server->folder), "%s/%u", folder, number);
	snprintf(server->socket, sizeof(server->socket), "%s/%u/socket", folder, number);
	assert_int_equal(mkdir(server->folder, 0700), 0);
	return number;
}

unsigned redis_play_start(struct redis_play *play, const char *const *options)
{
	unsigned number = add_server(play, options);
	struct redis_play_server *server = &play->servers[number];

	for (int i = 0; i < 20; i++) {
		run_server(server);
		if (wait_for(server))
			return number;
		server->port = redis_play_port();
	}
	fail_msg("redis-server does not start");
	return number;
}

unsigned redis_play_start_file(
	struct redis_play *play, const char *text, const char *const *options)
{
	unsigned number = add_server(play, options);
	struct redis_play_server *server = &play->servers[number];
	char path[192];
	FILE *file;

	server->file = "redis.conf";
	snprintf(path, sizeof(path), "%s/%s", server->folder, server->file);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "bind 127.0.0.1\nport %d\ndir %s\n%s", server->port, server->folder, text);
	assert_int_equal(fclose(file), 0);
	redis_play_restart(play, number);
	return number;
}

void redis_play_restart(struct redis_play *play, unsigned number)
{
	run_server(&play->servers[number]);
	assert_true(wait_for(&play->servers[number]));
}

void redis_play_kill(struct redis_play *play, unsigned number)
{
	struct redis_play_server *server = &play->servers[number];

	if (!server->pid)
		return;
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

void redis_play_signal(struct redis_play *play, unsigned number, int signal_number)
{
	assert_int_equal(kill(play->servers[number].pid, signal_number), 0);
}

static redisContext *connect_to(const struct redis_play_server *server)
{
	redisContext *c = redisConnectUnix(server->socket);

	if (c && !c->err)
		return c;
	if (c)
		redisFree(c);
	return redisConnect("127.0.0.1", server->port);
}

const char *redis_play_command(struct redis_play *play, unsigned number, const char *format, ...)
{
	static char text[4096];
	redisReply *reply = NULL;
	va_list args;

	/* One that becomes a replica, or a primary, cuts its clients off. */
	for (int i = 0; i < 100 && !reply; i++) {
		redisContext *c = connect_to(&play->servers[number]);

		va_start(args, format);
		if (c && !c->err)
			reply = redisvCommand(c, format, args);
		va_end(args);
		if (c)
			redisFree(c);
		if (!reply)
			usleep(50 * 1000);
	}
	assert_non_null(reply);
	snprintf(text, sizeof(text), "%lld", reply->integer);
	if (reply->type == REDIS_REPLY_NIL)
		strcpy(text, "(nil)");
	else if (reply->str)
		snprintf(text, sizeof(text), "%s", reply->str);
	freeReplyObject(reply);
	return text;
}

int redis_play_run(const char *const *argv)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_RDWR), 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- the store --- */

void redis_play_store(struct redis_play *play, const char *url)
{
	struct redis_url *read = memory_zeroed(sizeof(*read));
	struct err err = {{0}};
	size_t offset;
	char text[512];

	snprintf(text, sizeof(text), "%s", url);
	for (char *at; (at = strstr(text, "%d"));) {
		char rest[512];

		snprintf(rest, sizeof(rest), "%s", at + 2);
		snprintf(at, sizeof(text) - (size_t)(at - text), "%d%s", play->servers[0].port,
			rest);
	}
	if (!redis_url_read(span_text(text), read, &offset, &err))
		fail_msg("%s: %s", text, err.text);
	play->store = store_open_redis(&play->loop, &play->log, read, NULL, &err);
	assert_non_null(play->store);
	free(read);
}

static void on_done(struct store_request *request)
{
	struct redis_play *play = request->context;

	play->answers++;
	buffer_clear(&play->answer);
	assert_true(buffer_add(&play->answer, request->answer));
}

enum store_outcome redis_play_ask(
	struct redis_play *play, enum store_kind kind, const char *const *parts, size_t n)
{
	struct store_request request = {
		.kind = kind, .n_parts = n, .done = on_done, .context = play};
	unsigned before = play->answers;

	for (size_t i = 0; i < n; i++)
		request.parts[i] = span_text(parts[i]);
	store_ask(play->store, &request);
	REDIS_PLAY_UNTIL(play, play->answers > before);
	return request.outcome;
}

void redis_play_tell(
	struct redis_play *play, enum store_kind kind, const char *const *parts, size_t n)
{
	struct span spans[STORE_PARTS_MAX];

	for (size_t i = 0; i < n; i++)
		spans[i] = span_text(parts[i]);
	store_tell(play->store, kind, spans, n);
}

bool redis_play_logged(struct redis_play *play, const char *text)
{
	char line[8192];
	bool found = false;
	ssize_t got;

	while ((got = recv(play->log_fds[1], line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		line[got] = '\0';
		found = found || strstr(line, text);
	}
	return found;
}

void redis_play_turn(struct redis_play *play, uint64_t *since_ms, const char *file, int line)
{
	const struct clock real = {0};
	uint64_t now_ms = clock_now_ms(&real);

	if (*since_ms == 0)
		*since_ms = now_ms;
	if (now_ms - *since_ms > PATIENCE_MS)
		_fail(file, line);
	loop_turn(&play->loop, false);
	usleep(300);
}
