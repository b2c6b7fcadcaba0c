// volume NAME DIRECTORY COUNT: does one thing with files below DIRECTORY COUNT times and prints the nanoseconds that each took.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE (128 << 10)
#define BIG (64L << 20)
#define FOLDERS 20
#define FILES 50

static char bytes[PIECE];

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

static void put(const char *name, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	check(fd >= 0, name);
	check(write(fd, bytes, size) == (ssize_t)size, "write");
	close(fd);
}

static void make_big(void)
{
	int fd = open("big", O_WRONLY | O_CREAT, 0644);
	check(fd >= 0, "big");
	for (long at = 0; at < BIG; at += PIECE)
		check(pwrite(fd, bytes, PIECE, at) == PIECE, "pwrite");
	close(fd);
}

static void make_tree(void)
{
	char name[64];
	for (int folder = 0; folder < FOLDERS; folder++) {
		sprintf(name, "folder%d", folder);
		mkdir(name, 0755);
		for (int file = 0; file < FILES; file++) {
			sprintf(name, "folder%d/file%d", folder, file);
			put(name, 1000);
		}
	}
}

static void sequential(long n, size_t size)
{
	int fd = open("big", O_RDONLY);
	check(fd >= 0, "big");
	while (n--) {
		ssize_t got = read(fd, bytes, size);
		check(got >= 0, "read");
		if (got == 0) {
			lseek(fd, 0, SEEK_SET);
			n++;
		}
	}
	close(fd);
}

static void op_read128k(long n)
{
	sequential(n, PIECE);
}

static void op_read4k(long n)
{
	sequential(n, 4096);
}

static void op_write128k(long n)
{
	int fd = open("big", O_WRONLY);
	check(fd >= 0, "big");
	for (long at = 0; n--; at += PIECE) {
		if (at >= BIG)
			at = lseek(fd, 0, SEEK_SET);
		check(write(fd, bytes, PIECE) == PIECE, "write");
	}
	close(fd);
}

static void op_lstat(long n)
{
	char name[64];
	struct stat s;
	while (n--) {
		sprintf(name, "folder%ld/file%ld", n / FILES % FOLDERS, n % FILES);
		check(lstat(name, &s) == 0, "lstat");
	}
}

static void op_create(long n)
{
	char name[64];
	while (n--) {
		sprintf(name, "new%ld", n);
		put(name, 1000);
	}
}

// As tar -x.
static void op_unpack(long n)
{
	char name[64], folder[32];
	struct timespec times[2] = {{ 1000000000, 0 }, { 1000000000, 0 }};
	for (long i = 0; i < n; i++) {
		sprintf(folder, "unpacked%ld", i / FILES);
		if (i % FILES == 0)
			check(mkdir(folder, 0755) == 0, "mkdir");
		sprintf(name, "%s/file%ld", folder, i);
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		check(fd >= 0 && write(fd, bytes, 8000) == 8000, name);
		check(futimens(fd, times) == 0 && fchmod(fd, 0644) == 0, "attributes");
		close(fd);
	}
}

// As git-status(1): everything is listed and looked at.
static void op_walk(long n)
{
	while (n > 0)
		for (int i = 0; i < FOLDERS; i++) {
			char folder[32], name[300];
			struct dirent *entry;
			struct stat s;
			sprintf(folder, "folder%d", i);
			DIR *dir = opendir(folder);
			check(dir != 0, folder);
			while ((entry = readdir(dir))) {
				snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
				check(lstat(name, &s) == 0, name);
				n -= S_ISREG(s.st_mode);
			}
			closedir(dir);
		}
}

static const struct {
	const char *name;
	void (*run)(long);
	void (*prepare)(void);
} ops[] = {
	{ "read128k", op_read128k, make_big }, { "read4k", op_read4k, make_big },
	{ "write128k", op_write128k, make_big }, { "lstat", op_lstat, make_tree },
	{ "walk", op_walk, make_tree }, { "create", op_create, 0 },
	{ "unpack", op_unpack, 0 },
};

int main(int argc, char **argv)
{
	check(argc == 4 && chdir(argv[2]) == 0, "volume NAME DIRECTORY COUNT");
	memset(bytes, 'x', sizeof bytes);
	long n = atol(argv[3]);
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (!strcmp(argv[1], ops[i].name)) {
			if (ops[i].prepare)
				ops[i].prepare();
			double start = now();
			ops[i].run(n);
			printf("%.0f\n", (now() - start) / n);
			return 0;
		}
	fprintf(stderr, "no such operation: %s\n", argv[1]);
	return 1;
}
