// A source of this family holds many small named cases: CASE(name) { … }. Each runs in a process of its own, in a folder of
// its own that holds what `given` makes, and what it prints is compared under its name. `PROGRAM prepare FOLDER` makes the
// folders only, so that they can be part of a root image; `PROGRAM run FOLDER [NAME…]` makes those that are missing and runs.
//
// The host may keep its files on ext4, an overlay or a tmpfs, so cases print relations that all of them agree on. A case that
// the host cannot run says so with `lacks`.
#include "../case.h"
#include <grp.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

struct posix_case {
    const char *name;
    void (*run)(void);
};

#define CASE(title)                                                                                                \
    static void case_##title(void);                                                                                \
    static const struct posix_case entry_##title = {#title, case_##title};                                         \
    __attribute__((used, section("posix_cases"))) static const struct posix_case *const listed_##title =           \
        &entry_##title;                                                                                            \
    static void case_##title(void)

// Ends the case: this host has not what it needs.
__attribute__((unused)) static void lacks(const char *what) {
    say("lacks %s", what);
    _exit(97);
}

__attribute__((unused)) static void need_root(void) {
    if (geteuid())
        lacks("the rights of root");
}

// What each case finds in its folder.
static void given(void) {
    put("file", "lower text\n");
    put("prog", "#!/bin/sh\n");
    MUST(chmod("prog", 06755));
    put("hard1", "shared");
    MUST(link("hard1", "hard2"));
    char pattern[20001];
    for (int i = 0; i < 20000; i++)
        pattern[i] = 'a' + i / 1000;
    pattern[20000] = 0;
    put("big", pattern);
    MUST(mkdir("dir", 0755));
    put("dir/a", "A"), put("dir/b", "B");
    MUST(mkdir("dir/sub", 0755));
    put("dir/sub/c", "C");
    MUST(mkdir("empty", 0755));
    MUST(symlink("file", "link"));
    MUST(symlink("nowhere", "dangling"));
    MUST(symlink("dir", "dirlink"));
    MUST(symlink("loop2", "loop1")), MUST(symlink("loop1", "loop2"));
    MUST(mkfifo("fifo", 0644));
}

// A child with these ids, without other groups and capabilities; the parent waits for it. Used by AS.
__attribute__((unused)) static bool become(int uid, int gid, int group) {
    need_root();
    pid_t pid = MUST(fork());
    if (pid) {
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (status)
            say_status("child", status);
        return false;
    }
    gid_t groups[1] = {group};
    MUST(setgroups(group >= 0, groups));
    MUST(setresgid(gid, gid, gid));
    MUST(setresuid(uid, uid, uid));
    return true;
}

// AS(uid, gid) { … }: the block runs as that user, AS_IN with one more group.
#define AS_IN(uid, gid, group) for (bool as_ = become(uid, gid, group); as_; _exit(0))
#define AS(uid, gid) AS_IN(uid, gid, -1)

// CHILD { … }: the block runs in a child that the parent waits for.
__attribute__((unused)) static bool child(void) {
    pid_t pid = MUST(fork());
    if (!pid)
        return true;
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status)
        say_status("child", status);
    return false;
}
#define CHILD for (bool child_ = child(); child_; _exit(0))

// Metadata without following a link; all zeros if there is no such name.
__attribute__((unused)) static struct stat look(const char *path) {
    struct stat s = {0};
    if (lstat(path, &s))
        memset(&s, 0, sizeof s);
    return s;
}

__attribute__((unused)) static bool there(const char *path) {
    struct stat s;
    return !lstat(path, &s);
}

#define MODE(path) say("%s: mode %o", path, look(path).st_mode)
#define LINKS(path) say("%s: %ld links", path, (long)look(path).st_nlink)
#define SIZE(path) say("%s: %ld bytes", path, (long)look(path).st_size)
#define OWNER(path) say("%s: owner %d:%d", path, look(path).st_uid, look(path).st_gid)
#define THERE(path) say("%s: %s", path, there(path) ? "there" : "gone")
#define TEXT(path) say("%s: \"%s\"", path, get(path))

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// Prints the names in a folder, sorted, with the types that getdents gave.
__attribute__((unused)) static void list(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) {
        say("%s: %s", path, errname(errno));
        return;
    }
    char *names[512], line[4000] = "";
    int n = 0;
    for (struct dirent *entry; n < 512 && (entry = readdir(dir));) {
        const char *type = entry->d_type == DT_DIR    ? "/"
                           : entry->d_type == DT_LNK  ? "@"
                           : entry->d_type == DT_FIFO ? "|"
                           : entry->d_type == DT_REG  ? ""
                                                      : "?";
        MUST(asprintf(&names[n++], "%s%s", entry->d_name, type));
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    for (int i = 0; i < n; i++)
        if (strlen(line) + strlen(names[i]) + 2 < sizeof line)
            strcat(strcat(line, " "), names[i]);
    say("%s:%s", path, line);
}

static bool later(struct timespec a, struct timespec b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static struct watched {
    const char *path;
    int fd;
    struct stat stat;
} watched[8];
static int watches;

// WATCH(paths…): from here on SHOW tells which times of them change. Access and modification times are set to 2001 first, and
// the clock of the file system has moved on when this returns.
__attribute__((unused)) static void watch(const char **paths, int n) {
    struct timespec past[2] = {{1000000000, 5}, {1000000000, 5}};
    struct timespec last = {0};
    for (watches = 0; watches < n; watches++) {
        struct watched *w = &watched[watches];
        w->path = paths[watches];
        w->fd = MUST(open(w->path, O_PATH | O_NOFOLLOW));
        MUST(utimensat(AT_FDCWD, w->path, past, AT_SYMLINK_NOFOLLOW));
    }
    for (int i = 0; i < n; i++) {
        MUST(fstat(watched[i].fd, &watched[i].stat));
        if (later(watched[i].stat.st_ctim, last))
            last = watched[i].stat.st_ctim;
    }
    static int probe = -1;
    if (probe < 0)
        probe = MUST(open("..", O_RDONLY | O_DIRECTORY)), probe = MUST(openat(probe, "probe", O_CREAT | O_RDWR, 0600));
    for (struct stat s = {0};; nap(1)) {
        MUST(fchmod(probe, s.st_mode & 1 ? 0600 : 0601));
        MUST(fstat(probe, &s));
        if (later(s.st_ctim, last))
            break;
    }
}
#define WATCH(...)                                                                                                 \
    watch((const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *))

static bool same_time(struct timespec a, struct timespec b) { return !later(a, b) && !later(b, a); }

__attribute__((unused)) static void show(void) {
    for (int i = 0; i < watches; i++) {
        struct stat now, was = watched[i].stat;
        MUST(fstat(watched[i].fd, &now));
        say("%s:%s%s%s", watched[i].path, same_time(now.st_atim, was.st_atim) ? "" : " atime",
            same_time(now.st_mtim, was.st_mtim) ? "" : " mtime", same_time(now.st_ctim, was.st_ctim) ? "" : " ctime");
        if (later(was.st_ctim, now.st_ctim))
            say("%s: ctime went back", watched[i].path);
    }
}
#define SHOW() show()

// atime moves as usual, not as on a mount with noatime.
__attribute__((unused)) static void need_atime(void) {
    struct statvfs fs;
    MUST(statvfs(".", &fs));
    if (fs.f_flag & (ST_NOATIME | ST_NODIRATIME))
        lacks("access times on the file system of the tests");
}

extern const struct posix_case *const __start_posix_cases[], *const __stop_posix_cases[];

static bool is_wanted(const char *name, char **wanted) {
    if (!*wanted)
        return true;
    for (; *wanted; wanted++)
        if (!strcmp(name, *wanted))
            return true;
    return false;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 99;
    umask(022);
    bool prepare = !strcmp(argv[1], "prepare");
    if (mkdir(argv[2], 0755) && errno != EEXIST)
        say("%s: %s", argv[2], errname(errno)), _exit(99);
    MUST(chdir(argv[2]));
    int base = MUST(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!geteuid())
        setgroups(0, NULL);
    for (const struct posix_case *const *at = __start_posix_cases; at < __stop_posix_cases; at++) {
        const struct posix_case *posix = *at;
        if (!is_wanted(posix->name, argv + 3))
            continue;
        MUST(fchdir(base));
        bool fresh = !mkdir(posix->name, 0755);
        MUST(chdir(posix->name));
        if (fresh)
            given();
        if (prepare)
            continue;
        say("== %s", posix->name);
        pid_t pid = MUST(fork());
        if (!pid) {
            // A case that hangs is killed.
            alarm(20);
            posix->run();
            _exit(0);
        }
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (status && !(WIFEXITED(status) && WEXITSTATUS(status) == 97))
            say_status("case", status);
    }
}
