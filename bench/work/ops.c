// ops NAME COUNT: does one thing COUNT times and prints the nanoseconds that each took.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *self;

static void check(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void op_getppid(long n)
{
	while (n--)
		syscall(SYS_getppid);
}

static void op_clock_gettime(long n)
{
	struct timespec t;
	while (n--)
		clock_gettime(CLOCK_MONOTONIC, &t);
}

static void op_stat(long n)
{
	struct stat s;
	while (n--)
		check(stat(self, &s) == 0, "stat");
}

static void op_open(long n)
{
	struct stat s;
	while (n--) {
		int fd = open(self, O_RDONLY);
		check(fd >= 0 && fstat(fd, &s) == 0, "open");
		close(fd);
	}
}

static void op_read4k(long n)
{
	static char page[4096];
	int fd = open(self, O_RDONLY);
	check(fd >= 0, "open");
	while (n--)
		check(pread(fd, page, sizeof page, 4096) == sizeof page, "pread");
}

static void op_pipe_alone(long n)
{
	int p[2];
	char c = 0;
	check(pipe(p) == 0, "pipe");
	while (n--)
		check(write(p[1], &c, 1) == 1 && read(p[0], &c, 1) == 1, "pipe");
}

static int ping[2], pong[2];
static long rounds;

static void *echo(void *unused)
{
	char c;
	for (long i = 0; i < rounds; i++)
		check(read(ping[0], &c, 1) == 1 && write(pong[1], &c, 1) == 1, "echo");
	return unused;
}

static void ask(void)
{
	char c = 0;
	for (long i = 0; i < rounds; i++)
		check(write(ping[1], &c, 1) == 1 && read(pong[0], &c, 1) == 1, "ask");
}

static void op_pingpong_threads(long n)
{
	pthread_t t;
	check(pipe(ping) == 0 && pipe(pong) == 0, "pipe");
	rounds = n;
	check(pthread_create(&t, 0, echo, 0) == 0, "pthread_create");
	ask();
	pthread_join(t, 0);
}

static void op_pingpong_processes(long n)
{
	check(pipe(ping) == 0 && pipe(pong) == 0, "pipe");
	rounds = n;
	pid_t pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		echo(0);
		_exit(0);
	}
	ask();
	waitpid(pid, 0, 0);
}

static int turn;

static void pass(int from, int to)
{
	for (long i = 0; i < rounds; i++) {
		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != from)
			syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, to, 0, 0, 0);
		__atomic_store_n(&turn, to, __ATOMIC_RELEASE);
		syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
	}
}

static void *other(void *unused)
{
	pass(1, 0);
	return unused;
}

static void op_futex(long n)
{
	pthread_t t;
	rounds = n;
	check(pthread_create(&t, 0, other, 0) == 0, "pthread_create");
	pass(0, 1);
	pthread_join(t, 0);
}

static void *yield(void *unused)
{
	for (long i = 0; i < rounds; i++)
		sched_yield();
	return unused;
}

// Two threads on one processor that yield to each other.
static void op_switch(long n)
{
	pthread_t t;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof one, &one);
	rounds = n / 2;
	check(pthread_create(&t, 0, yield, 0) == 0, "pthread_create");
	yield(0);
	pthread_join(t, 0);
}

static void op_fork_exit(long n)
{
	while (n--) {
		pid_t pid = fork();
		check(pid >= 0, "fork");
		if (pid == 0)
			_exit(0);
		waitpid(pid, 0, 0);
	}
}

static void op_fork_exec(long n)
{
	while (n--) {
		pid_t pid = fork();
		check(pid >= 0, "fork");
		if (pid == 0) {
			execl(self, self, "nothing", "0", (char *)0);
			_exit(1);
		}
		int status;
		check(waitpid(pid, &status, 0) == pid && status == 0, "exec");
	}
}

static void op_touch(long n)
{
	char *at = mmap(0, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(at != MAP_FAILED, "mmap");
	madvise(at, n * 4096, MADV_NOHUGEPAGE);
	for (long i = 0; i < n; i++)
		at[i * 4096] = 1;
}

static void op_mmap(long n)
{
	while (n--) {
		char *at = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		check(at != MAP_FAILED, "mmap");
		munmap(at, 65536);
	}
}

static void *nothing(void *unused)
{
	return unused;
}

static void op_thread(long n)
{
	while (n--) {
		pthread_t t;
		check(pthread_create(&t, 0, nothing, 0) == 0, "pthread_create");
		pthread_join(t, 0);
	}
}

static volatile unsigned long sink;

static void *burn(void *unused)
{
	unsigned long x = 1;
	for (long i = 0; i < rounds; i++)
		x = x * 6364136223846793005ul + 1442695040888963407ul;
	sink = x;
	return unused;
}

// Two threads that only compute: they must run at once.
static void op_parallel(long n)
{
	pthread_t t;
	rounds = n;
	check(pthread_create(&t, 0, burn, 0) == 0, "pthread_create");
	burn(0);
	pthread_join(t, 0);
}

static void op_nothing(long n)
{
	(void)n;
}

static const struct {
	const char *name;
	void (*run)(long);
} ops[] = {
	{"clock_gettime", op_clock_gettime},
	{"fork_exec", op_fork_exec},
	{"fork_exit", op_fork_exit},
	{"futex", op_futex},
	{"getppid", op_getppid},
	{"mmap", op_mmap},
	{"nothing", op_nothing},
	{"open", op_open},
	{"parallel", op_parallel},
	{"pingpong_processes", op_pingpong_processes},
	{"pingpong_threads", op_pingpong_threads},
	{"pipe_alone", op_pipe_alone},
	{"read4k", op_read4k},
	{"stat", op_stat},
	{"switch", op_switch},
	{"thread", op_thread},
	{"touch", op_touch},
};

int main(int argc, char **argv)
{
	check(argc == 3, "usage: ops NAME COUNT");
	self = argv[0];
	long n = atol(argv[2]);
	for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++) {
		if (strcmp(argv[1], ops[i].name) == 0) {
			if (n > 100 && strncmp(argv[1], "fork", 4) && strcmp(argv[1], "touch"))
				ops[i].run(n > 1000 && strcmp(argv[1], "parallel") ? 1000 : 1);
			double start = now();
			ops[i].run(n);
			if (n)
				printf("%.3f\n", (now() - start) / n);
			return 0;
		}
	}
	fprintf(stderr, "ops: %s: no such operation\n", argv[1]);
	return 1;
}
