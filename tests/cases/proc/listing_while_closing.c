// A program that closes the descriptors it reads in /proc/self/fd, or ends the processes it reads in /proc, misses none.
#include "../case.h"

struct record {
    uint64_t ino;
    int64_t next;
    uint16_t len;
    uint8_t type;
    char name[];
};

// Calls `each` with the numbers that are names in a directory, with as few names as possible read at a time.
static void numbers(const char *path, void (*each)(int directory, int number)) {
    char buffer[64] __attribute__((aligned(8)));
    int directory = MUST(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (long n; (n = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0;)
        for (long at = 0; at < n;) {
            struct record *record = (void *)(buffer + at);
            at += record->len;
            if (isdigit(record->name[0]))
                each(directory, atoi(record->name));
        }
    close(directory);
}

static void close_it(int directory, int fd) {
    if (fd > 2 && fd != directory)
        close(fd);
}

static pid_t children[20];

static void kill_child(int directory, int pid) {
    for (int i = 0; i < 20; i++)
        if (children[i] == pid) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            children[i] = 0;
        }
}

int main(void) {
    for (int fd = 20; fd < 60; fd++)
        MUST(dup2(1, fd));
    numbers("/proc/self/fd", close_it);
    int open_still = 0;
    for (int fd = 3; fd < 100; fd++)
        open_still += fcntl(fd, F_GETFD) >= 0;
    NUM(open_still);

    for (int i = 0; i < 20; i++)
        if (!(children[i] = MUST(fork())))
            for (;;)
                pause();
    numbers("/proc", kill_child);
    int left = 0;
    for (int i = 0; i < 20; i++)
        left += children[i] != 0;
    NUM(left);
    NUM(wait(NULL));
}
