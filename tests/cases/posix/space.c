// Sparse files, SEEK_DATA and SEEK_HOLE, fallocate(2). Blocks may be up to 64 KiB.
#include "posix.h"

#define UNIT 65536
static int sparse(void) {
    int fd = MUST(open("new", O_RDWR | O_CREAT, 0600));
    static char data[UNIT];
    memset(data, 'd', UNIT);
    MUST(pwrite(fd, data, UNIT, 2 * UNIT)), MUST(pwrite(fd, data, UNIT, 5 * UNIT)), MUST(ftruncate(fd, 8 * UNIT));
    if (lseek(fd, 0, SEEK_HOLE) || lseek(fd, 0, SEEK_DATA) != 2 * UNIT)
        lacks("holes on the file system of the tests");
    return fd;
}
static int allocate(int fd, int mode, long at, long len) {
    int result = fallocate(fd, mode, at, len);
    if (result && errno == EOPNOTSUPP)
        lacks("fallocate on the file system of the tests");
    return result;
}

CASE(data_is_found) {
    int fd = sparse();
    NUM(lseek(fd, 0, SEEK_DATA)), NUM(lseek(fd, 2 * UNIT, SEEK_DATA)), NUM(lseek(fd, 2 * UNIT + 5, SEEK_DATA));
    NUM(lseek(fd, 3 * UNIT, SEEK_DATA)), NUM(lseek(fd, 6 * UNIT, SEEK_DATA)), NUM(lseek(fd, 0, SEEK_CUR));
}

CASE(holes_are_found) {
    int fd = sparse();
    NUM(lseek(fd, 0, SEEK_HOLE)), NUM(lseek(fd, 2 * UNIT, SEEK_HOLE)), NUM(lseek(fd, 3 * UNIT + 7, SEEK_HOLE));
    NUM(lseek(fd, 5 * UNIT + 1, SEEK_HOLE)), NUM(lseek(fd, 7 * UNIT, SEEK_HOLE));
    int full = MUST(open("big", O_RDONLY));
    NUM(lseek(full, 0, SEEK_HOLE)), NUM(lseek(full, 0, SEEK_DATA)), NUM(lseek(full, 19999, SEEK_HOLE));
}

CASE(seeks_beyond) {
    int fd = sparse();
    NUM(lseek(fd, 8 * UNIT, SEEK_DATA)), NUM(lseek(fd, 8 * UNIT, SEEK_HOLE)), NUM(lseek(fd, -1, SEEK_DATA));
    NUM(lseek(fd, 9 * UNIT, SEEK_HOLE)), NUM(lseek(MUST(open("fifo", O_RDWR)), 0, SEEK_HOLE));
    int empty = MUST(open("nothing", O_RDWR | O_CREAT, 0600));
    NUM(lseek(empty, 0, SEEK_DATA)), NUM(lseek(empty, 0, SEEK_HOLE));
}

CASE(holes_read_as_zeros) {
    int fd = sparse();
    static char text[UNIT];
    int zeros = 0;
    NUM(pread(fd, text, UNIT, 3 * UNIT + 5));
    for (int i = 0; i < UNIT; i++)
        zeros += !text[i];
    NUM(zeros), NUM(pread(fd, text, UNIT, 2 * UNIT - 10)), say("%d %c", text[9], text[10]);
}

CASE(holes_take_no_space) {
    int fd = sparse();
    MUST(fsync(fd));
    struct stat s;
    MUST(fstat(fd, &s));
    IS(s.st_blocks >= 2 * UNIT / 512 && s.st_blocks < 4 * UNIT / 512), NUM(s.st_size);
    int big = MUST(open("huge", O_RDWR | O_CREAT, 0600));
    NUM(ftruncate(big, 1L << 40)), NUM(pwrite(big, "x", 1, (1L << 40) - 1)), MUST(fsync(big));
    MUST(fstat(big, &s)), IS(s.st_blocks < 1024), NUM(lseek(big, 0, SEEK_HOLE)), IS(lseek(big, 0, SEEK_DATA) > 1L << 39);
}

CASE(writing_fills_holes) {
    int fd = sparse();
    char c;
    NUM(pwrite(fd, "x", 1, 4 * UNIT)), NUM(lseek(fd, 3 * UNIT, SEEK_DATA)), NUM(pread(fd, &c, 1, 4 * UNIT + 1)), NUM(c);
    NUM(ftruncate(fd, 2 * UNIT)), NUM(ftruncate(fd, 8 * UNIT)), NUM(lseek(fd, 0, SEEK_DATA));
}

CASE(fallocate_grows) {
    int fd = MUST(open("file", O_RDWR));
    NUM(allocate(fd, 0, 0, 5)), SIZE("file"), NUM(allocate(fd, 0, 5, 100)), SIZE("file");
    NUM(allocate(fd, 0, 1 << 20, 1 << 20)), SIZE("file");
    IS(look("file").st_blocks >= 2048 && look("file").st_blocks < 2300);
    char c;
    NUM(pread(fd, &c, 1, 1 << 20)), NUM(c), say("%.11s", get("file"));
}

CASE(fallocate_keep_size) {
    int fd = MUST(open("file", O_RDWR));
    NUM(allocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20)), SIZE("file"), IS(look("file").st_blocks >= 2048);
    NUM(lseek(fd, 0, SEEK_END));
}

CASE(fallocate_punch) {
    int fd = MUST(open("big", O_RDWR));
    NUM(allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 10000)), SIZE("big");
    char *text = get("big");
    int zeros = 0;
    for (int i = 0; i < 20000; i++)
        zeros += !text[i];
    NUM(zeros), say("%c %d %d %c", text[99], text[100], text[10099], text[10100]);
    NUM(allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 15000, 100000)), SIZE("big");
    text = get("big"), say("%c %d", text[14999], text[15000]);
    NUM(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 100)), NUM(allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 50000, 10));
}

CASE(punching_gives_space_back) {
    int fd = sparse();
    MUST(fsync(fd));
    long before = look("new").st_blocks;
    NUM(allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * UNIT, UNIT)), MUST(fsync(fd));
    IS(look("new").st_blocks <= before - UNIT / 512), NUM(lseek(fd, 0, SEEK_DATA)), NUM(lseek(fd, 0, SEEK_HOLE));
}

CASE(fallocate_refuses) {
    int fd = MUST(open("file", O_RDWR));
    MUST(allocate(fd, 0, 0, 1));
    NUM(fallocate(fd, 0, 0, 0)), NUM(fallocate(fd, 0, -1, 5)), NUM(fallocate(fd, 0, 5, -1));
    NUM(fallocate(MUST(open("file", O_RDONLY)), 0, 0, 5)), NUM(fallocate(999, 0, 0, 5));
    NUM(fallocate(MUST(open("fifo", O_RDWR)), 0, 0, 5)), NUM(fallocate(MUST(open("dir", O_RDONLY)), 0, 0, 5));
    NUM(fallocate(MUST(open("file", O_PATH)), 0, 0, 5)), NUM(fallocate(fd, 0, 1L << 62, 1L << 62)), SIZE("file");
}

CASE(posix_fallocate_grows) {
    int fd = MUST(open("file", O_RDWR));
    ERR(posix_fallocate(fd, 0, 30000)), SIZE("file"), ERR(posix_fallocate(fd, 0, 10)), SIZE("file");
    ERR(posix_fallocate(MUST(open("file", O_RDONLY)), 0, 10)), ERR(posix_fallocate(fd, -1, 10)), ERR(posix_fallocate(fd, 0, 0));
}

CASE(fallocate_times) {
    int fd = MUST(open("file", O_RDWR));
    WATCH("file");
    NUM(allocate(fd, 0, 0, 50000));
    SHOW();
    WATCH("file");
    NUM(allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5));
    SHOW();
}

CASE(fallocate_takes_bits) {
    need_root();
    MUST(chmod("prog", 06777));
    AS(1000, 1000) NUM(allocate(MUST(open("prog", O_RDWR)), 0, 0, 100)), MODE("prog");
}

CASE(copies) {
    int from = MUST(open("big", O_RDONLY)), to = MUST(open("file", O_RDWR));
    off_t in = 10000, out = 5;
    NUM(copy_file_range(from, &in, to, &out, 3000, 0)), NUM(in), NUM(out), SIZE("file");
    say("%.5s%c%c", get("file"), get("file")[5], get("file")[3004]);
    NUM(copy_file_range(from, NULL, to, NULL, 1 << 20, 0)), SIZE("file"), NUM(lseek(from, 0, SEEK_CUR));
    NUM(copy_file_range(from, NULL, to, NULL, 10, 0)), NUM(copy_file_range(to, NULL, from, NULL, 10, 0));
    in = 0, out = 100;
    NUM(copy_file_range(to, &in, to, &out, 1000, 0)), in = 0, out = 10000, NUM(copy_file_range(to, &in, to, &out, 1000, 0));
    NUM(copy_file_range(from, NULL, to, NULL, 10, 1)), NUM(copy_file_range(999, NULL, to, NULL, 10, 0));
    NUM(copy_file_range(MUST(open("dir", O_RDONLY)), NULL, to, NULL, 10, 0));
    NUM(copy_file_range(MUST(open("big", O_RDONLY)), NULL, MUST(open("file", O_WRONLY | O_APPEND)), NULL, 10, 0));
}
