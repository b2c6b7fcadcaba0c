// mknod(2) and mkfifo(3).
#include "posix.h"

CASE(regular) {
    NUM(mknod("new", S_IFREG | 0640, 0)), MODE("new"), SIZE("new"), LINKS("new");
    NUM(mknod("new2", 0600, 0)), MODE("new2");
    put("new", "text"), TEXT("new");
}

CASE(fifo) {
    NUM(mkfifo("new", 0666)), MODE("new"), NUM(mknod("new2", S_IFIFO | 0600, 0)), MODE("new2");
    int r = MUST(open("new", O_RDONLY | O_NONBLOCK)), w = MUST(open("new", O_WRONLY));
    char c;
    NUM(write(w, "x", 1)), NUM(read(r, &c, 1)), NUM(lseek(r, 0, SEEK_SET)), NUM(ftruncate(w, 0)), SIZE("new");
}

CASE(fifo_between_processes) {
    CHILD {
        pid_t pid = MUST(fork());
        if (!pid) {
            int fd = MUST(open("fifo", O_WRONLY));
            MUST(write(fd, "through", 7));
            _exit(0);
        }
        char text[16] = "";
        int fd = MUST(open("fifo", O_RDONLY));
        NUM(read(fd, text, 15)), say("%s", text), NUM(read(fd, text, 15));
        reap("writer", pid);
    }
}

CASE(socket_name) {
    NUM(mknod("new", S_IFSOCK | 0644, 0)), MODE("new");
    NUM(open("new", O_RDONLY)), NUM(open("new", O_RDWR));
    TRY(open("new", O_PATH));
    NUM(unlink("new"));
}

CASE(bound_socket) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "new"};
    int a = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), b = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    NUM(bind(a, (void *)&address, sizeof address)), MODE("new");
    NUM(bind(b, (void *)&address, sizeof address));
    NUM(listen(a, 1)), NUM(rename("new", "dir/new"));
    NUM(connect(b, (void *)&address, sizeof address));
    strcpy(address.sun_path, "dir/new");
    NUM(connect(b, (void *)&address, sizeof address));
    strcpy(address.sun_path, "file");
    NUM(connect(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&address, sizeof address));
}

CASE(exists) {
    const char *paths[] = {"file", "dir", "link", "dangling", "fifo", "loop1", ".", "dir/", "file/"};
    for (int i = 0; i < 9; i++)
        NUM(mkfifo(paths[i], 0600)), NUM(mknod(paths[i], S_IFREG | 0600, 0));
    THERE("nowhere");
}

CASE(refuses) {
    NUM(mkfifo("", 0600)), NUM(mkfifo("missing/new", 0600)), NUM(mkfifo("file/new", 0600)), NUM(mkfifo("new/", 0600));
    NUM(mknod("new", S_IFDIR | 0700, 0)), NUM(mknod("new", S_IFLNK | 0700, 0)), NUM(mknod("new", 0170000, 0));
    NUM(mkfifo((char *)8, 0600)), NUM(mknodat(999, "new", S_IFIFO | 0600, 0)), NUM(mkfifo("loop1/new", 0600));
    THERE("new");
}

CASE(rights) {
    need_root();
    MUST(chmod("empty", 0755));
    AS(1000, 1000) NUM(mkfifo("empty/new", 0600)), NUM(mknod("empty/new", S_IFREG | 0600, 0));
    MUST(chmod("empty", 0777));
    AS(1000, 1000) {
        NUM(mkfifo("empty/p", 0600)), NUM(mknod("empty/f", S_IFREG | 0600, 0)), NUM(mknod("empty/s", S_IFSOCK | 0600, 0));
        NUM(mknod("empty/c", S_IFCHR | 0600, makedev(1, 3))), NUM(mknod("empty/b", S_IFBLK | 0600, makedev(7, 0)));
        OWNER("empty/p");
    }
}

CASE(device_names) {
    need_root();
    if (mknod("probe", S_IFCHR | 0600, makedev(1, 3)))
        lacks("the right to make devices");
    NUM(mknod("c", S_IFCHR | 0620, makedev(1, 3))), MODE("c"), NUM(mknod("b", S_IFBLK | 0640, makedev(7, 300))), MODE("b");
    IS(look("c").st_rdev == makedev(1, 3)), IS(look("b").st_rdev == makedev(7, 300));
    NUM(rename("c", "dir/c")), NUM(link("b", "dir/b2")), LINKS("b"), NUM(truncate("b", 0) ? 0 : 1);
}

CASE(times) {
    WATCH("dir");
    NUM(mkfifo("dir/new", 0600));
    SHOW();
    WATCH("fifo");
    int r = MUST(open("fifo", O_RDONLY | O_NONBLOCK)), w = MUST(open("fifo", O_WRONLY));
    NUM(write(w, "x", 1));
    say("%s", look("fifo").st_mtim.tv_sec > 1000000000 ? "mtime" : "same");
    close(r);
}
