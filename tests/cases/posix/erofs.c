// What a read-only mount refuses. The mount is of the case's own folder, in a mount namespace of its own where there are such.
#include "posix.h"
#include <sys/mount.h>

static void make_read_only(void) {
    need_root();
    MUST(mkdir("mounted", 0755));
    // A guest has one namespace of mounts, which nobody else sees.
    bool alone = !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    pid_t pid = MUST(fork());
    if (pid) {
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (!alone)
            umount2("mounted", MNT_DETACH);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
    }
    if (mount(".", "mounted", NULL, MS_BIND, NULL))
        lacks("the right to mount");
    MUST(mount(NULL, "mounted", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    MUST(chdir("mounted"));
}

CASE(names_are_not_made) {
    make_read_only();
    NUM(mkdir("new", 0700)), NUM(mkfifo("new", 0600)), NUM(symlink("x", "new")), NUM(link("file", "new"));
    NUM(open("new", O_CREAT | O_WRONLY, 0600)), NUM(open(".", O_TMPFILE | O_RDWR, 0600)), NUM(mknod("new", S_IFREG | 0600, 0));
    NUM(open("dangling", O_CREAT | O_WRONLY, 0600)), NUM(open("new", O_CREAT | O_RDONLY, 0600));
}

CASE(names_are_not_removed) {
    make_read_only();
    NUM(unlink("file")), NUM(rmdir("empty")), NUM(rename("file", "new")), NUM(rename("file", "big"));
    NUM(unlink("missing")), NUM(rmdir("missing")), NUM(rmdir("dir")), NUM(unlink("dir")), NUM(rename("missing", "new"));
    NUM(renameat2(AT_FDCWD, "file", AT_FDCWD, "big", RENAME_EXCHANGE)), NUM(renameat2(AT_FDCWD, "file", AT_FDCWD, "big", RENAME_NOREPLACE));
}

CASE(what_exists_is_said_first) {
    make_read_only();
    NUM(mkdir("file", 0700)), NUM(mkfifo("dir", 0600)), NUM(symlink("x", "link")), NUM(link("file", "big"));
    NUM(open("file", O_CREAT | O_EXCL | O_WRONLY, 0600)), NUM(mkdir("missing/x", 0700)), NUM(mkdir("file/x", 0700));
}

CASE(files_are_not_written) {
    make_read_only();
    NUM(open("file", O_WRONLY)), NUM(open("file", O_RDWR)), NUM(open("file", O_RDONLY | O_TRUNC)), NUM(truncate("file", 0));
    TRY(open("file", O_RDONLY)), TRY(open("file", O_CREAT | O_RDONLY, 0600)), NUM(open("missing", O_WRONLY)), NUM(open("dir", O_WRONLY));
    TRY(open("fifo", O_RDWR)), TEXT("file");
}

CASE(attributes_stay) {
    make_read_only();
    int fd = MUST(open("file", O_RDONLY));
    NUM(chmod("file", 0600)), NUM(chown("file", 1, 1)), NUM(utimensat(AT_FDCWD, "file", NULL, 0)), NUM(fchmod(fd, 0600));
    NUM(fchown(fd, 1, 1)), NUM(futimens(fd, NULL)), NUM(setxattr("file", "user.x", "", 0, 0)), NUM(removexattr("file", "user.x"));
    NUM(lchown("link", 1, 1)), NUM(chmod("missing", 0600));
    struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    NUM(utimensat(AT_FDCWD, "file", omit, 0));
}

CASE(access_tells) {
    make_read_only();
    NUM(access("file", W_OK)), NUM(access("file", R_OK)), NUM(access("dir", W_OK)), NUM(access("fifo", W_OK)), NUM(access("missing", W_OK));
    struct statvfs s;
    NUM(statvfs("file", &s)), IS(s.f_flag & ST_RDONLY);
}

CASE(times_stay) {
    make_read_only();
    struct stat before = look("file");
    TEXT("file"), list("dir");
    struct stat after = look("file");
    IS(same_time(before.st_atim, after.st_atim) && same_time(before.st_mtim, after.st_mtim));
}

CASE(another_mount_is_another_device) {
    make_read_only();
    NUM(rename("../file", "new")), NUM(link("../file", "new")), NUM(rename("file", "../new")), NUM(link("file", "../new"));
    NUM(rename("../file", "../new"));
    IS(look("dir").st_dev == look("../dir").st_dev && look("dir").st_ino == look("../dir").st_ino);
    THERE("new");
}
