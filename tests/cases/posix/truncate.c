// truncate(2), ftruncate(2), write(2) at the edges, and statvfs(3).
#include "posix.h"

CASE(cuts_off) {
    NUM(truncate("file", 5));
    SIZE("file"), TEXT("file");
    NUM(truncate("big", 4096)), SIZE("big");
    NUM(truncate("big", 0)), SIZE("big"), NUM(look("big").st_blocks);
}

CASE(grows_with_zeros) {
    NUM(truncate("file", 20000));
    SIZE("file");
    char *text = get("file");
    int zeros = 0;
    for (int i = 11; i < 20000; i++)
        zeros += !text[i];
    NUM(zeros);
    say("%.11s", text);
}

CASE(cut_and_grown_shows_zeros) {
    NUM(truncate("big", 4097)), NUM(truncate("big", 20000));
    int fd = MUST(open("big", O_RDWR));
    char c[4] = "....";
    NUM(pread(fd, c, 4, 4095));
    say("%c%c %d %d", c[0], c[1], c[2], c[3]);
    NUM(ftruncate(fd, 100)), NUM(pwrite(fd, "x", 1, 5000));
    NUM(pread(fd, c, 4, 99));
    say("%c %d %d %d", c[0], c[1], c[2], c[3]);
    SIZE("big");
}

CASE(position_stays) {
    int fd = MUST(open("big", O_RDWR));
    NUM(lseek(fd, 15000, SEEK_SET));
    NUM(ftruncate(fd, 10));
    NUM(lseek(fd, 0, SEEK_CUR));
    char c = '.';
    NUM(read(fd, &c, 1));
    NUM(write(fd, "x", 1));
    SIZE("big");
}

CASE(follows_links) {
    NUM(truncate("link", 3)), TEXT("file"), NUM(truncate("hard1", 2)), TEXT("hard2");
    NUM(truncate("dangling", 3)), THERE("nowhere"), NUM(truncate("loop1", 1));
}

CASE(refuses) {
    NUM(truncate("dir", 0)), NUM(truncate("missing", 0)), NUM(truncate("", 0)), NUM(truncate("file/", 0));
    NUM(truncate("file/x", 0)), NUM(truncate("file", -1)), NUM(truncate("fifo", 0)), NUM(truncate((char *)8, 0));
    NUM(ftruncate(999, 0)), NUM(ftruncate(MUST(open("file", O_RDONLY)), 0));
    NUM(ftruncate(MUST(open("file", O_RDWR)), -1)), NUM(ftruncate(MUST(open("dir", O_RDONLY)), 0));
    NUM(ftruncate(MUST(open("fifo", O_RDWR)), 0)), NUM(truncate("dirlink", 0)), NUM(truncate("/dev/null", 0));
    SIZE("file");
}

CASE(rights) {
    MUST(chmod("file", 0644));
    AS(1000, 1000) NUM(truncate("file", 0));
    MUST(chmod("file", 0622));
    AS(1000, 1000) NUM(truncate("file", 3));
    int fd = MUST(open("file", O_WRONLY));
    MUST(chmod("file", 0));
    AS(1000, 1000) NUM(ftruncate(fd, 1));
    SIZE("file");
}

CASE(times) {
    WATCH("file", ".");
    NUM(truncate("file", 5));
    SHOW();
    WATCH("file");
    NUM(truncate("file", 50));
    SHOW();
    int fd = MUST(open("file", O_RDWR));
    WATCH("file");
    NUM(ftruncate(fd, 5));
    SHOW();
    WATCH("file");
    NUM(ftruncate(fd, 5));
    SHOW();
    WATCH("file");
    TRY(open("file", O_WRONLY | O_TRUNC));
    SHOW();
    WATCH("file");
    TRY(open("file", O_WRONLY | O_TRUNC));
    SHOW();
    WATCH("file");
    TRY(open("file", O_WRONLY | O_CREAT, 0600));
    SHOW();
}

CASE(size_limit) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {30000, 30000};
    MUST(setrlimit(RLIMIT_FSIZE, &limit));
    NUM(truncate("big", 30000)), NUM(truncate("big", 30001)), NUM(truncate("big", 29999));
    int fd = MUST(open("big", O_WRONLY));
    char block[100] = "";
    NUM(pwrite(fd, block, 100, 29950)), NUM(pwrite(fd, block, 100, 30000)), NUM(pwrite(fd, block, 0, 40000));
    SIZE("big");
    NUM(fallocate(fd, 0, 29990, 100));
    SIZE("big");
}

CASE(size_limit_signal) {
    struct rlimit limit = {10, 10};
    CHILD {
        MUST(setrlimit(RLIMIT_FSIZE, &limit));
        NUM(truncate("big", 5));
        truncate("big", 11);
        say("not killed");
    }
}

CASE(write_edges) {
    int fd = MUST(open("file", O_RDWR));
    NUM(write(fd, "", 0)), NUM(pwrite(fd, "x", 1, -1)), NUM(pwrite(fd, "x", 1, 100));
    SIZE("file");
    NUM(write(fd, (char *)8, 5)), NUM(pread(fd, (char *)8, 5, 0)), NUM(pread(fd, (char *)8, 5, 1000));
    NUM(lseek(fd, -1, SEEK_SET)), NUM(lseek(fd, -200, SEEK_END)), NUM(lseek(fd, 0, 9)), NUM(lseek(fd, 5, SEEK_END));
    SIZE("file");
}

CASE(write_times) {
    int fd = MUST(open("file", O_RDWR));
    char c;
    WATCH("file", ".");
    NUM(write(fd, "x", 1));
    SHOW();
    WATCH("file");
    NUM(write(fd, "x", 0));
    SHOW();
    WATCH("file");
    NUM(pwrite(fd, "x", 1, 100));
    SHOW();
    need_atime();
    WATCH("file", ".");
    NUM(pread(fd, &c, 1, 0));
    SHOW();
    WATCH("file");
    NUM(pread(fd, &c, 1, 5000));
    SHOW();
    int quiet = MUST(open("file", O_RDONLY | O_NOATIME));
    WATCH("file");
    NUM(read(quiet, &c, 1));
    SHOW();
}

CASE(copy_times) {
    need_atime();
    int from = MUST(open("file", O_RDONLY)), to = MUST(open("new", O_RDWR | O_CREAT, 0600));
    WATCH("file", "new");
    NUM(copy_file_range(from, NULL, to, NULL, 100, 0));
    struct stat s = look("new");
    IS(s.st_mtim.tv_sec > 1000000000 && s.st_size == 11);
    TEXT("new");
}

CASE(blocks_follow_contents) {
    int fd = MUST(open("new", O_RDWR | O_CREAT, 0600));
    NUM(look("new").st_blocks);
    static char block[65536];
    memset(block, 1, sizeof block);
    MUST(write(fd, block, sizeof block)), MUST(fsync(fd));
    IS(look("new").st_blocks >= 128);
    NUM(ftruncate(fd, 0)), MUST(fsync(fd));
    NUM(look("new").st_blocks);
}

CASE(statvfs_fields) {
    struct statvfs a, b;
    NUM(statvfs("file", &a)), NUM(statvfs("dir", &b));
    IS(a.f_fsid == b.f_fsid), IS(a.f_blocks == b.f_blocks), IS(a.f_bavail <= a.f_bfree && a.f_bfree <= a.f_blocks);
    IS(a.f_ffree <= a.f_files), NUM(a.f_namemax), IS(a.f_bsize >= 512), IS(a.f_flag & ST_RDONLY);
    NUM(statvfs("missing", &a)), NUM(statvfs("file/x", &a)), NUM(fstatvfs(999, &a)), NUM(statvfs("", &a));
    NUM(fstatvfs(MUST(open("file", O_PATH)), &a));
}
