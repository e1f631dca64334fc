/*
 * libseccomp writes the programs; the runner's is exported once and kept, since it is loaded for
 * each runner anew, where the parent's is in force already and the two add up: the parent's must
 * allow whatever a runner does.
 *
 * Tried and rejected: SECCOMP_RET_ERRNO instead of death. Code that goes on after a failed call is
 * code that looks for another way.
 */
#include "authn/sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/fail.h"

/* gcc defines the macros, clang has the features. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

bool sandbox_has_reports(void)
{
#ifdef SANITIZED
	return true;
#else
	return false;
#endif
}

enum {
	MEMORY_MAX = 512 * 1024 * 1024, /* of a runner: header sections of its tasks are far less */
	CPU_MAX_S = 300                 /* a runner is replaced long before (runner.c) */
};

struct sandbox {
	struct sock_fprog runner; /* owned program */
};

/* sysinfo: qsort (glibc before 2.37) asks how much memory there is when it has more than 1 KB to
 * sort, which is to say 22 header fields. */
static const int for_runner[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(recvfrom),
	SCMP_SYS(sendto), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(brk), SCMP_SYS(munmap),
	SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(getrusage),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(sysinfo), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group)};

/* Besides; what a runner does between its fork and its own filter included. */
static const int for_parent[] = {SCMP_SYS(fork), SCMP_SYS(clone), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(socketpair), SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg), SCMP_SYS(wait4), SCMP_SYS(kill), SCMP_SYS(close), SCMP_SYS(close_range),
	SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(fcntl), SCMP_SYS(prctl), SCMP_SYS(prlimit64),
	SCMP_SYS(setrlimit), SCMP_SYS(seccomp), SCMP_SYS(getppid), SCMP_SYS(tgkill),
	SCMP_SYS(rt_sigaction)};

/* What the sanitizers' runtime needs to work and to report. */
#ifdef SANITIZED
static const int for_sanitizer[] = {SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction),
	SCMP_SYS(sched_yield), SCMP_SYS(readlink), SCMP_SYS(getuid), SCMP_SYS(prctl),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(ioctl)};
#endif

static bool allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return false;
	return true;
}

/* Memory that is never code. */
static bool allow_memory(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);

	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code) == 0 &&
	       seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code) == 0;
}

static scmp_filter_ctx filter_new(bool parent)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	bool ok = filter && allow(filter, for_runner, COUNT_OF(for_runner)) && allow_memory(filter);

	if (ok && parent)
		ok = allow(filter, for_parent, COUNT_OF(for_parent));
#ifdef SANITIZED
	ok = ok && allow(filter, for_sanitizer, COUNT_OF(for_sanitizer));
#endif
	if (ok)
		return filter;
	if (filter)
		seccomp_release(filter);
	return NULL;
}

/* The program as the kernel takes it, by way of a file in memory. */
static bool export_filter(scmp_filter_ctx filter, struct sock_fprog *out)
{
	int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat status;
	bool ok;

	if (fd < 0)
		return false;
	ok = seccomp_export_bpf(filter, fd) == 0 && fstat(fd, &status) == 0 && status.st_size > 0;
	if (ok) {
		out->filter = memory_new((size_t)status.st_size);
		out->len = (unsigned short)((size_t)status.st_size / sizeof(*out->filter));
		ok = pread(fd, out->filter, (size_t)status.st_size, 0) == status.st_size;
	}
	close(fd);
	return ok;
}

struct sandbox *sandbox_new(struct err *err)
{
	struct sandbox *sandbox = memory_zeroed(sizeof(*sandbox));
	scmp_filter_ctx filter = filter_new(false);
	bool ok = filter && export_filter(filter, &sandbox->runner);

	if (filter)
		seccomp_release(filter);
	if (ok)
		return sandbox;
	sandbox_free(&sandbox);
	err_set(err, "the seccomp filter can't be made: is the call seccomp itself forbidden here? "
		     "(in a systemd unit: SystemCallFilter=@system-service seccomp)");
	return NULL;
}

void sandbox_free(struct sandbox **sandbox)
{
	if (!*sandbox)
		return;
	free((*sandbox)->runner.filter);
	free(*sandbox);
	*sandbox = NULL;
}

bool sandbox_enter_parent(struct sandbox *sandbox, struct err *err)
{
	scmp_filter_ctx filter = filter_new(true);
	int status;

	(void)sandbox;
	if (!filter)
		return err_set(err, "the seccomp filter can't be made");
	status = seccomp_load(filter); /* sets no_new_privs */
	seccomp_release(filter);
	if (status == 0)
		return true;
	errno = -status;
	return err_errno(err, "this kernel does not take a seccomp filter, without which libspf2 "
			      "and libopendkim are not run");
}

static bool limit(int resource, rlim_t most)
{
	struct rlimit limit = {most, most};

	return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

/* The sanitizers' shadow counts as data, though nearly none of it is ever touched. */
static bool limit_all(void)
{
#ifndef SANITIZED
	if (!limit(RLIMIT_DATA, MEMORY_MAX))
		return false;
#endif
	return limit(RLIMIT_CPU, CPU_MAX_S) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0);
}

bool sandbox_enter_runner(const struct sandbox *sandbox)
{
	return limit_all() &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &sandbox->runner) == 0;
}
