/* Works for so many seconds on what a snapshot must keep, and checks itself: registers and vector registers in tight loops,
   memory of every kind, many processes, epoll. Prints "ready", and at the end its verdict. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILDREN = 6, PAGE = 4096, PAGES = 64 };

static volatile int *stop;
static volatile long *counters;
static const char *failure;

static void check(const char *what, int right) {
	if (!right && !failure)
		failure = what;
}

static double now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Nothing but registers for some milliseconds: 0 if they are as they were. */
static long spin(long seed) {
	long wrong;
	__asm__ volatile(
		"lea 1(%1), %%r8\n lea 2(%1), %%r9\n lea 3(%1), %%r10\n lea 4(%1), %%r11\n"
		"lea 5(%1), %%r12\n lea 6(%1), %%r13\n lea 7(%1), %%r14\n lea 8(%1), %%r15\n"
		"movq %%r8, %%xmm0\n movq %%r9, %%xmm3\n movq %%r10, %%xmm7\n movq %%r11, %%xmm8\n"
		"movq %%r12, %%xmm12\n movq %%r15, %%xmm15\n punpcklqdq %%xmm3, %%xmm15\n"
		"mov $20000000, %%ecx\n"
		"1: dec %%ecx\n jnz 1b\n"
		"xor %0, %0\n"
		"lea 1(%1), %%rcx\n xor %%r8, %%rcx\n or %%rcx, %0\n"
		"lea 2(%1), %%rcx\n xor %%r9, %%rcx\n or %%rcx, %0\n"
		"lea 3(%1), %%rcx\n xor %%r10, %%rcx\n or %%rcx, %0\n"
		"lea 4(%1), %%rcx\n xor %%r11, %%rcx\n or %%rcx, %0\n"
		"lea 5(%1), %%rcx\n xor %%r12, %%rcx\n or %%rcx, %0\n"
		"lea 6(%1), %%rcx\n xor %%r13, %%rcx\n or %%rcx, %0\n"
		"lea 7(%1), %%rcx\n xor %%r14, %%rcx\n or %%rcx, %0\n"
		"lea 8(%1), %%rcx\n xor %%r15, %%rcx\n or %%rcx, %0\n"
		"movq %%xmm0, %%rcx\n xor %%r8, %%rcx\n or %%rcx, %0\n"
		"movq %%xmm3, %%rcx\n xor %%r9, %%rcx\n or %%rcx, %0\n"
		"movq %%xmm7, %%rcx\n xor %%r10, %%rcx\n or %%rcx, %0\n"
		"movq %%xmm8, %%rcx\n xor %%r11, %%rcx\n or %%rcx, %0\n"
		"movq %%xmm12, %%rcx\n xor %%r12, %%rcx\n or %%rcx, %0\n"
		"movq %%xmm15, %%rcx\n xor %%r15, %%rcx\n or %%rcx, %0\n"
		"psrldq $8, %%xmm15\n movq %%xmm15, %%rcx\n xor %%r9, %%rcx\n or %%rcx, %0\n"
		: "=&r"(wrong)
		: "r"(seed)
		: "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm3", "xmm7", "xmm8", "xmm12",
		  "xmm15", "cc");
	return wrong;
}

static void *spinner(void *argument) {
	for (long seed = (long)argument; !*stop; seed += 12345)
		check("registers", spin(seed) == 0);
	return NULL;
}

static int child(int index) {
	char own[3 * PAGE];
	memset(own, 'a' + index, sizeof own);
	while (!*stop) {
		counters[index]++;
		usleep(1000);
		for (size_t at = 0; at < sizeof own; at += 512)
			if (own[at] != 'a' + index)
				return 1;
	}
	return 40 + index;
}

int main(int argc, char **argv) {
	double duration = argc > 1 ? atof(argv[1]) : 1, started = now();
	void *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stop = shared;
	counters = (volatile long *)shared + 1;
	pid_t children[CHILDREN];
	for (int index = 0; index < CHILDREN; index++) {
		children[index] = fork();
		if (children[index] == 0)
			_exit(child(index));
	}
	char *hidden = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(hidden, 0x5a, 4 * PAGE);
	mprotect(hidden, 4 * PAGE, PROT_NONE);
	char *scratch = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(scratch, 1, PAGES * PAGE);
	int memory = memfd_create("state", 0);
	check("memfd", ftruncate(memory, PAGES * PAGE) == 0);
	char *file = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	char *copy = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
	copy[5] = 'c';
	long *segment = shmat(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600), NULL, 0);
	int event = eventfd(0, EFD_NONBLOCK), poll = epoll_create1(0);
	struct epoll_event wanted = { .events = EPOLLIN, .data.u64 = 77 };
	epoll_ctl(poll, EPOLL_CTL_ADD, event, &wanted);
	pthread_t thread;
	pthread_create(&thread, NULL, spinner, (void *)99);
	puts("ready");
	fflush(stdout);

	long rounds = 0;
	while (now() - started < duration) {
		rounds++;
		segment[3] = rounds;
		snprintf(file + 9 * PAGE, 32, "%ld", rounds);
		char text[32] = "";
		check("memfd", pread(memory, text, 31, 9 * PAGE) > 0 && atol(text) == rounds);
		uint64_t value = rounds;
		struct epoll_event found = { 0 };
		check("eventfd", write(event, &value, 8) == 8);
		check("epoll", epoll_wait(poll, &found, 1, 1000) == 1 && found.data.u64 == 77);
		check("eventfd", read(event, &value, 8) == 8 && value == (uint64_t)rounds);
		check("epoll", epoll_wait(poll, &found, 1, 1) == 0);
		check("private copy", copy[5] == 'c');
		char *part = scratch + rounds % PAGES * PAGE;
		part[17] = 9;
		madvise(part, PAGE, MADV_DONTNEED);
		check("discarded", part[17] == 0 && part[0] == 0);
		memset(part, 1, PAGE);
		check("scratch", scratch[(rounds + 7) % PAGES * PAGE + 5] == 1);
		check("shm", segment[3] == rounds);
		check("registers", rounds % 8 || spin(rounds) == 0);
	}
	*stop = 1;
	pthread_join(thread, NULL);
	mprotect(hidden, 4 * PAGE, PROT_READ);
	for (int at = 0; at < 4 * PAGE; at++)
		check("hidden", hidden[at] == 0x5a);
	for (int index = 0; index < CHILDREN; index++) {
		int status = 0;
		check("wait", waitpid(children[index], &status, 0) == children[index]);
		check("child", WIFEXITED(status) && WEXITSTATUS(status) == 40 + index && counters[index] > 0);
	}
	printf(failure ? "failed: %s\n" : "ok\n", failure);
	return failure != NULL;
}
