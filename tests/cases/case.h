// What every case shares: it prints what it observes as relations and error names, never as addresses, process
// ids or other numbers that differ from machine to machine. Every line is one write, so the output of several
// processes keeps its order and a crash loses nothing.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Prints one line.
__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...) {
    char line[4096];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line - 1, format, list);
    va_end(list);
    if (n > (int)sizeof line - 2)
        n = sizeof line - 2;
    line[n++] = '\n';
    for (int done = 0; done < n;) {
        ssize_t w = write(1, line + done, n - done);
        if (w < 0 && errno != EINTR)
            _exit(98);
        done += w > 0 ? w : 0;
    }
}

__attribute__((unused)) static const char *errname(int e) {
    const char *name = e ? strerrorname_np(e) : "ok";
    return name ? name : "unknown";
}

// A call whose success is a number that any machine gives: prints it, or the error's name.
#define NUM(call)                                                                                                  \
    ({                                                                                                             \
        errno = 0;                                                                                                 \
        long num_ = (long)(call);                                                                                  \
        int error_ = errno;                                                                                        \
        if (num_ == -1 && error_)                                                                                  \
            say("%s: %s", #call, errname(error_));                                                                 \
        else                                                                                                       \
            say("%s: %ld", #call, num_);                                                                           \
        errno = error_;                                                                                            \
        num_;                                                                                                      \
    })

// A call whose success is a descriptor, a process or an address: prints "ok", or the error's name.
#define TRY(call)                                                                                                  \
    ({                                                                                                             \
        errno = 0;                                                                                                 \
        __typeof__(call) try_ = (call);                                                                            \
        int error_ = errno;                                                                                        \
        say("%s: %s", #call, (long)try_ == -1 ? errname(error_) : "ok");                                           \
        errno = error_;                                                                                            \
        try_;                                                                                                      \
    })

// A pthread-style call, which returns the error.
#define ERR(call) say("%s: %s", #call, errname(call))

// A condition: prints whether it holds.
#define IS(condition) say("%s: %s", #condition, (condition) ? "yes" : "no")

// A step that the case needs but does not test: silent, and the end of the case if it fails.
#define MUST(call)                                                                                                 \
    ({                                                                                                             \
        errno = 0;                                                                                                 \
        __typeof__(call) must_ = (call);                                                                           \
        if ((long)must_ == -1) {                                                                                   \
            say("line %d: %s: %s", __LINE__, #call, errname(errno));                                               \
            _exit(99);                                                                                             \
        }                                                                                                          \
        must_;                                                                                                     \
    })

// Makes a new folder the current one; files of the case go there.
__attribute__((unused)) static const char *scratch(void) {
    static char folder[256];
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/case.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder) || chdir(folder)) {
        say("no scratch folder: %s", errname(errno));
        _exit(99);
    }
    umask(022);
    return folder;
}

// Makes a file with this text.
__attribute__((unused)) static void put(const char *path, const char *text) {
    int fd = MUST(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    MUST(write(fd, text, strlen(text)));
    MUST(close(fd));
}

// The text of a file, up to 64 KiB; "" if it cannot be read.
__attribute__((unused)) static char *get(const char *path) {
    static char text[65537];
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t r; fd >= 0 && n < 65536 && (r = read(fd, text + n, 65536 - n)) > 0;)
        n += r;
    if (fd >= 0)
        close(fd);
    text[n] = 0;
    return text;
}

// Prints how a waited-for child ended.
__attribute__((unused)) static void say_status(const char *who, int status) {
    if (WIFEXITED(status))
        say("%s: exited %d", who, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        say("%s: killed by SIG%s", who, sigabbrev_np(WTERMSIG(status)));
    else if (WIFSTOPPED(status))
        say("%s: stopped by SIG%s", who, sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        say("%s: continued", who);
    else
        say("%s: status %#x", who, status);
}

// Waits for a child and prints how it ended.
__attribute__((unused)) static void reap(const char *who, pid_t pid) {
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (got < 0)
        say("%s: %s", who, errname(errno));
    else
        say_status(who, status);
}

// Installs a handler without SA_RESTART.
__attribute__((unused)) static void on(int sig, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    MUST(sigaction(sig, &action, NULL));
}

// Blocks (or unblocks) one signal in this thread.
__attribute__((unused)) static void mask(int how, int sig) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    if (pthread_sigmask(how, &set, NULL))
        _exit(99);
}

__attribute__((unused)) static void nap(int milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR)
        ;
}

__attribute__((unused)) static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

// A point that several processes or threads reach in a stated order: each waits for its number.
struct turns {
    _Atomic int turn;
};

__attribute__((unused)) static struct turns *new_turns(void) {
    return MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

__attribute__((unused)) static void wait_turn(struct turns *turns, int turn) {
    while (turns->turn < turn)
        sched_yield();
}

__attribute__((unused)) static void pass_turn(struct turns *turns) { turns->turn++; }

// The sleep state letter of a task from /proc, or '?'.
__attribute__((unused)) static char state_of(pid_t pid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return '?';
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    char *end = strrchr(text, ')');
    return end ? end[2] : '?';
}

// Waits until a task sleeps (in the call under test).
__attribute__((unused)) static void wait_asleep(pid_t pid) {
    for (int i = 0; i < 2000 && state_of(pid) != 'S'; i++)
        nap(1);
}
