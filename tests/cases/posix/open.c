// open(2): flags, what they need and what they refuse.
#include "posix.h"

static long fill(int fd) { return write(fd, "new", 3); }

CASE(creates_with_the_mode) {
    fill(TRY(open("new", O_WRONLY | O_CREAT, 0640)));
    MODE("new"), TEXT("new");
}

CASE(mode_does_not_bind_the_creator) {
    int fd = TRY(open("new", O_RDWR | O_CREAT, 0));
    NUM(fill(fd));
    MODE("new");
    AS(1000, 1000) {
        MUST(umask(0) < 0 ? -1 : 0);
        TRY(open("new", O_RDONLY));
    }
}

CASE(creat_flag_opens_an_existing_file) {
    TRY(open("file", O_RDWR | O_CREAT, 0));
    MODE("file"), TEXT("file");
}

CASE(excl_refuses_what_exists) {
    TRY(open("file", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open("dir", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open("link", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open("fifo", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open("loop1", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open("file/", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open("dir/", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(open(".", O_RDWR | O_CREAT | O_EXCL, 0600));
    THERE("nowhere");
}

CASE(creates_through_a_dangling_link) {
    fill(TRY(open("dangling", O_WRONLY | O_CREAT, 0604)));
    MODE("nowhere"), TEXT("nowhere");
}

CASE(nofollow_refuses_links) {
    TRY(open("link", O_RDONLY | O_NOFOLLOW));
    TRY(open("dangling", O_RDONLY | O_NOFOLLOW));
    TRY(open("dangling", O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
    TRY(open("dirlink/a", O_RDONLY | O_NOFOLLOW));
    TRY(open("dirlink", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    TRY(open("dirlink/", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    TRY(open("link", O_PATH | O_NOFOLLOW));
    TRY(open("file", O_RDONLY | O_NOFOLLOW));
}

CASE(loops) {
    TRY(open("loop1", O_RDONLY));
    TRY(open("loop1", O_WRONLY | O_CREAT, 0600));
    TRY(open("loop1/x", O_RDONLY));
    TRY(open("loop1", O_PATH));
}

CASE(trunc_empties) {
    int reader = MUST(open("file", O_RDONLY));
    TRY(open("file", O_WRONLY | O_TRUNC));
    char c;
    SIZE("file");
    NUM(read(reader, &c, 1));
    TRY(open("big", O_RDONLY | O_TRUNC));
    SIZE("big");
    TRY(open("dir", O_WRONLY | O_TRUNC));
    TRY(open("link", O_WRONLY | O_TRUNC | O_NOFOLLOW));
}

CASE(trunc_needs_the_right_to_write) {
    MUST(chmod("file", 0644));
    AS(1000, 1000) {
        TRY(open("file", O_RDONLY | O_TRUNC));
        TRY(open("file", O_WRONLY | O_TRUNC));
    }
    SIZE("file");
}

CASE(append_goes_to_the_end) {
    int a = MUST(open("file", O_WRONLY | O_APPEND)), b = MUST(open("file", O_RDWR));
    NUM(write(a, "one\n", 4));
    NUM(lseek(b, 0, SEEK_END));
    NUM(write(b, "two\n", 4));
    NUM(lseek(a, 0, SEEK_SET));
    NUM(write(a, "three\n", 6));
    NUM(lseek(a, 0, SEEK_CUR));
    NUM(pwrite(a, "four\n", 5, 0));
    TEXT("file");
}

CASE(append_from_two_processes) {
    for (int i = 0; i < 2; i++) {
        int fd = MUST(open("file", O_WRONLY | O_APPEND));
        CHILD for (int n = 0; n < 50; n++) MUST(write(fd, "x\n", 2));
        MUST(write(fd, "y\n", 2));
    }
    SIZE("file");
}

CASE(append_can_be_set_and_taken) {
    int fd = MUST(open("file", O_WRONLY));
    NUM(fcntl(fd, F_SETFL, O_APPEND));
    NUM(write(fd, "end\n", 4));
    NUM(fcntl(fd, F_SETFL, 0));
    NUM(lseek(fd, 0, SEEK_SET));
    NUM(write(fd, "LOWER", 5));
    TEXT("file");
}

CASE(directory_flag) {
    TRY(open("dir", O_RDONLY | O_DIRECTORY));
    TRY(open("dirlink", O_RDONLY | O_DIRECTORY));
    TRY(open("file", O_RDONLY | O_DIRECTORY));
    TRY(open("link", O_RDONLY | O_DIRECTORY));
    TRY(open("fifo", O_RDONLY | O_DIRECTORY));
    TRY(open("missing", O_RDONLY | O_DIRECTORY));
    TRY(open("dir", O_RDWR | O_DIRECTORY));
}

CASE(folders_are_only_read) {
    TRY(open("dir", O_RDONLY));
    TRY(open("dir", O_WRONLY));
    TRY(open("dir", O_RDWR));
    TRY(open("dir", O_RDONLY | O_CREAT, 0600));
    TRY(open("dir", O_RDONLY | O_TRUNC));
    int fd = MUST(open("dir", O_RDONLY));
    char c;
    NUM(read(fd, &c, 1));
    NUM(pread(fd, &c, 1, 0));
    NUM(write(fd, &c, 1));
    NUM(ftruncate(fd, 0));
}

CASE(access_modes) {
    char c;
    int r = MUST(open("file", O_RDONLY)), w = MUST(open("file", O_WRONLY)), both = MUST(open("file", O_RDWR));
    NUM(read(r, &c, 1)), NUM(write(r, "x", 1));
    NUM(read(w, &c, 1)), NUM(write(w, "x", 1));
    NUM(read(both, &c, 1)), NUM(write(both, "x", 1));
    NUM(fcntl(r, F_GETFL) & O_ACCMODE), NUM(fcntl(w, F_GETFL) & O_ACCMODE), NUM(fcntl(both, F_GETFL) & O_ACCMODE);
    TEXT("file");
}

CASE(permissions_of_another) {
    int modes[] = {0, 0004, 0002, 0006, 0040, 0400};
    for (int i = 0; i < 6; i++) {
        MUST(chmod("file", modes[i]));
        say("mode %o", modes[i]);
        AS(1000, 1000) {
            TRY(open("file", O_RDONLY));
            TRY(open("file", O_WRONLY));
            TRY(open("file", O_RDWR));
        }
    }
}

CASE(permissions_by_class) {
    need_root();
    MUST(chown("file", 1000, 2000));
    MUST(chmod("file", 0406));
    AS(1000, 2000) TRY(open("file", O_RDONLY)), TRY(open("file", O_WRONLY));
    AS(1001, 2000) TRY(open("file", O_RDONLY)), TRY(open("file", O_WRONLY));
    AS_IN(1001, 1001, 2000) TRY(open("file", O_RDONLY)), TRY(open("file", O_WRONLY));
    AS(1001, 1001) TRY(open("file", O_RDONLY)), TRY(open("file", O_WRONLY));
}

CASE(creation_needs_a_writable_folder) {
    need_root();
    int modes[] = {0755, 0757, 0756, 0753};
    for (int i = 0; i < 4; i++) {
        MUST(chmod("empty", modes[i]));
        say("mode %o", modes[i]);
        AS(1000, 1000) {
            TRY(open("empty/new", O_WRONLY | O_CREAT, 0600));
            OWNER("empty/new");
        }
        unlink("empty/new");
    }
}

CASE(search_permission_on_the_way) {
    need_root();
    MUST(chmod("dir", 0766));
    AS(1000, 1000) TRY(open("dir/a", O_RDONLY)), TRY(open("dir/missing", O_RDONLY)), TRY(open("dir", O_RDONLY));
    MUST(chmod("dir", 0711));
    AS(1000, 1000) TRY(open("dir/a", O_RDONLY)), TRY(open("dir/missing", O_RDONLY)), TRY(open("dir", O_RDONLY));
}

CASE(path_only) {
    int fd = TRY(open("file", O_PATH));
    char c;
    struct stat s;
    NUM(read(fd, &c, 1)), NUM(write(fd, "x", 1)), NUM(lseek(fd, 0, SEEK_SET));
    NUM(fchmod(fd, 0600)), NUM(fchown(fd, 1, 1)), NUM(ftruncate(fd, 0));
    NUM(fstat(fd, &s));
    NUM(fgetxattr(fd, "user.x", &c, 1));
    IS(mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
    IS(fcntl(fd, F_GETFL) & O_PATH);
    NUM(flock(fd, LOCK_SH));
    NUM(fcntl(fd, F_SETFL, O_APPEND));
    TRY(dup(fd));
    NUM(close(fd));
}

CASE(path_only_needs_no_right_to_the_file) {
    MUST(chmod("file", 0));
    AS(1000, 1000) {
        int fd = TRY(open("file", O_PATH));
        char name[64];
        sprintf(name, "/proc/self/fd/%d", fd);
        NUM(open(name, O_RDONLY));
    }
}

CASE(path_only_of_a_link) {
    int fd = TRY(open("link", O_PATH | O_NOFOLLOW));
    struct stat s;
    MUST(fstat(fd, &s));
    IS(S_ISLNK(s.st_mode));
    char target[9] = "";
    NUM(readlinkat(fd, "", target, 8));
    say("%s", target);
    NUM(fchmodat(fd, "", 0600, AT_EMPTY_PATH));
}

CASE(path_only_folder_as_start) {
    int fd = TRY(open("dir", O_PATH));
    TRY(openat(fd, "a", O_RDONLY));
    TRY(openat(fd, "../file", O_RDONLY));
    NUM(fchdir(fd));
    TRY(openat(AT_FDCWD, "b", O_RDONLY));
    struct dirent64 {
        char room[4096];
    } room;
    NUM(syscall(SYS_getdents64, fd, &room, sizeof room));
}

CASE(path_only_drops_other_flags) {
    TRY(open("new", O_PATH | O_CREAT, 0600));
    TRY(open("file", O_PATH | O_TRUNC));
    SIZE("file");
    TRY(open("dir", O_PATH | O_WRONLY));
    TRY(open("file", O_PATH | O_DIRECTORY));
    TRY(open("missing", O_PATH));
}

static int nameless(const char *folder, int flags) {
    int fd = open(folder, O_TMPFILE | flags, 0600);
    if (fd < 0 && errno == EOPNOTSUPP)
        lacks("O_TMPFILE on the file system of the tests");
    return fd;
}

CASE(tmpfile_has_no_name) {
    int fd = TRY(nameless("dir", O_RDWR));
    struct stat s;
    NUM(write(fd, "text", 4));
    MUST(fstat(fd, &s));
    say("links %ld mode %o size %ld", (long)s.st_nlink, s.st_mode, (long)s.st_size);
    list("dir");
    NUM(rmdir("empty"));
}

CASE(tmpfile_gets_a_name) {
    int fd = TRY(nameless("dir", O_RDWR));
    MUST(write(fd, "text", 4));
    char name[64];
    sprintf(name, "/proc/self/fd/%d", fd);
    NUM(linkat(AT_FDCWD, name, AT_FDCWD, "dir/new", AT_SYMLINK_FOLLOW) ? errno : 0);
    TEXT("dir/new"), LINKS("dir/new");
    NUM(linkat(AT_FDCWD, name, AT_FDCWD, "dir/a", AT_SYMLINK_FOLLOW) ? errno : 0);
}

CASE(tmpfile_exclusive_stays_nameless) {
    int fd = TRY(nameless("dir", O_RDWR | O_EXCL));
    char name[64];
    sprintf(name, "/proc/self/fd/%d", fd);
    NUM(linkat(AT_FDCWD, name, AT_FDCWD, "dir/new", AT_SYMLINK_FOLLOW));
}

CASE(tmpfile_refuses) {
    MUST(close(MUST(nameless(".", O_RDWR))));
    TRY(nameless("file", O_RDWR));
    TRY(nameless("missing", O_RDWR));
    TRY(nameless("dir", O_RDONLY));
    TRY(open("dir", O_TMPFILE & ~O_DIRECTORY | O_RDWR, 0600));
    MUST(chmod("dir", 0755));
    AS(1000, 1000) TRY(nameless("dir", O_RDWR));
}

CASE(no_such_place) {
    TRY(open("", O_RDONLY));
    TRY(open("missing", O_RDWR));
    TRY(open("missing/x", O_RDWR | O_CREAT, 0600));
    TRY(open("file/x", O_RDWR | O_CREAT, 0600));
    TRY(open("link/x", O_RDONLY));
    TRY(open("dangling/x", O_RDONLY));
    TRY(open("fifo/x", O_RDONLY));
    TRY(open((char *)8, O_RDONLY));
}

CASE(bad_start) {
    int file = MUST(open("file", O_RDONLY)), dir = MUST(open("dir", O_RDONLY));
    TRY(openat(999, "file", O_RDONLY));
    TRY(openat(-1, "file", O_RDONLY));
    TRY(openat(file, "x", O_RDONLY));
    TRY(openat(dir, "a", O_RDONLY));
    TRY(openat(dir, "", O_RDONLY));
    TRY(openat(999, "/", O_RDONLY));
    TRY(openat(file, "/", O_RDONLY));
}

CASE(trailing_slashes) {
    TRY(open("new/", O_WRONLY | O_CREAT, 0600));
    TRY(open("file/", O_RDONLY));
    TRY(open("file/", O_WRONLY | O_CREAT, 0600));
    TRY(open("link/", O_RDONLY));
    TRY(open("dir///", O_RDONLY));
    TRY(open("dirlink/", O_RDONLY));
    TRY(open("missing/", O_RDONLY));
    TRY(open("dangling/", O_WRONLY | O_CREAT, 0600));
    TRY(open("dir/", O_WRONLY | O_CREAT, 0600));
    TRY(open("dir/.", O_WRONLY | O_CREAT, 0600));
    TRY(open("missing/.", O_WRONLY | O_CREAT, 0600));
}

CASE(fifo_without_a_peer) {
    TRY(open("fifo", O_WRONLY | O_NONBLOCK));
    int r = TRY(open("fifo", O_RDONLY | O_NONBLOCK));
    char c;
    NUM(read(r, &c, 1));
    int w = TRY(open("fifo", O_WRONLY | O_NONBLOCK));
    NUM(read(r, &c, 1));
    NUM(write(w, "x", 1)), NUM(read(r, &c, 1));
    TRY(open("fifo", O_RDWR | O_TRUNC | O_CREAT, 0600));
}

CASE(a_running_program_is_busy) {
    char self[256] = "";
    MUST(readlink("/proc/self/exe", self, 255));
    char buffer[65536];
    int from = MUST(open(self, O_RDONLY)), to = MUST(open("prog", O_WRONLY | O_TRUNC));
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        MUST(write(to, buffer, n));
    MUST(close(to));
    // Without arguments the program ends at once.
    pid_t pid = MUST(vfork());
    if (!pid)
        execl("./prog", "./prog", NULL), _exit(1);
    int status;
    MUST(waitpid(pid, &status, 0));
    NUM(WEXITSTATUS(status));
    TRY(open("prog", O_WRONLY));
    TRY(open("prog", O_RDWR | O_APPEND));
    int writer = MUST(open("prog", O_RDWR));
    if (!(pid = vfork()))
        _exit(execl("./prog", "./prog", NULL) ? errno : 0);
    MUST(waitpid(pid, &status, 0));
    say("run while open for writing: %s", errname(WEXITSTATUS(status)));
    MUST(close(writer));
}

CASE(noatime_is_for_the_owner) {
    TRY(open("file", O_RDONLY | O_NOATIME));
    MUST(chmod("file", 0644));
    AS(1000, 1000) TRY(open("file", O_RDONLY | O_NOATIME));
}

CASE(too_many) {
    struct rlimit limit = {20, 20};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    int fd = 0, n = 0;
    while ((fd = open("file", O_RDONLY)) >= 0)
        n = fd;
    say("%s after %d", errname(errno), n);
    TRY(open("new", O_WRONLY | O_CREAT, 0600));
    THERE("new");
}

CASE(cloexec) {
    NUM(fcntl(MUST(open("file", O_RDONLY | O_CLOEXEC)), F_GETFD));
    NUM(fcntl(MUST(open("file", O_RDONLY)), F_GETFD));
    NUM(fcntl(MUST(open("file", O_PATH | O_CLOEXEC)), F_GETFD));
}

CASE(lowest_descriptor) {
    int a = MUST(open("file", O_RDONLY)), b = MUST(open("file", O_RDONLY));
    MUST(close(a));
    IS(open("big", O_RDONLY) == a);
    IS(b > a);
}

CASE(each_open_has_its_position) {
    int a = MUST(open("big", O_RDONLY)), b = MUST(open("big", O_RDONLY)), c = MUST(dup(a));
    char x[100];
    MUST(read(a, x, 100));
    NUM(lseek(a, 0, SEEK_CUR)), NUM(lseek(b, 0, SEEK_CUR)), NUM(lseek(c, 0, SEEK_CUR));
    CHILD MUST(lseek(a, 7, SEEK_SET));
    NUM(lseek(a, 0, SEEK_CUR)), NUM(lseek(c, 0, SEEK_CUR));
}
