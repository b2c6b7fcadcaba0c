// rename(2) and renameat2(2).
#include "posix.h"

#define NOREPLACE(old, new) NUM(renameat2(AT_FDCWD, old, AT_FDCWD, new, RENAME_NOREPLACE))
#define EXCHANGE(old, new) NUM(renameat2(AT_FDCWD, old, AT_FDCWD, new, RENAME_EXCHANGE))

CASE(moves_a_file) {
    ino_t ino = look("file").st_ino;
    NUM(rename("file", "new"));
    THERE("file"), TEXT("new"), LINKS("new");
    IS(look("new").st_ino == ino);
    NUM(rename("new", "dir/new"));
    TEXT("dir/new");
    NUM(rename("dir/new", "dir/sub/new"));
    list("dir"), list("dir/sub"), list(".");
}

CASE(moves_a_folder_with_all_below) {
    ino_t ino = look("dir").st_ino;
    NUM(rename("dir", "new"));
    IS(look("new").st_ino == ino);
    list("new"), TEXT("new/a"), TEXT("new/sub/c"), THERE("dir");
    NUM(rename("new", "empty/moved"));
    TEXT("empty/moved/sub/c");
    NUM(rename("empty/moved/sub", "sub"));
    list("empty/moved"), TEXT("sub/c");
    NUM(mkdir("dir", 0755));
    list("dir");
}

CASE(replaces_a_file) {
    int fd = MUST(open("big", O_RDONLY));
    NUM(rename("file", "big"));
    TEXT("big"), THERE("file"), LINKS("big");
    struct stat s;
    MUST(fstat(fd, &s));
    NUM(s.st_nlink), NUM(s.st_size);
    char c = 0;
    NUM(pread(fd, &c, 1, 19999));
    say("%c", c);
}

CASE(replaces_an_empty_folder) {
    int old = MUST(open("empty", O_RDONLY));
    NUM(rename("dir", "empty"));
    list("empty"), THERE("dir"), LINKS("empty");
    struct stat s;
    MUST(fstat(old, &s));
    TRY(openat(old, "a", O_RDONLY));
    NUM(mkdirat(old, "x", 0700));
}

CASE(folders_that_are_in_the_way) {
    MUST(mkdir("new", 0755)), MUST(mkdir("new/below", 0755));
    NUM(rename("dir", "new")), NUM(rename("empty", "dir")), NUM(rename("new", "empty")), NUM(rename("empty", "dir"));
    NUM(rename("file", "dir")), NUM(rename("file", "empty")), NUM(rename("empty", "file")), NUM(rename("dir", "link"));
    NUM(rename("link", "dir")), NUM(rename("dir", "fifo")), NUM(rename("dir", "dirlink"));
    list(".");
}

CASE(into_itself) {
    NUM(rename("dir", "dir/sub/new")), NUM(rename("dir", "dir/new")), NUM(rename("dir", "dir/sub"));
    NUM(rename("dir/sub", "dir")), NUM(rename("dir/sub/c", "dir/sub")), NUM(rename("dir", "dirlink/new"));
    NUM(rename("dir", "dir"));
    list("dir");
}

CASE(same_file_twice) {
    NUM(rename("file", "file")), NUM(rename("hard1", "hard2")), NUM(rename("file", "./file"));
    THERE("hard1"), THERE("hard2"), LINKS("hard1");
    NUM(rename("hard1", "dir/../hard2"));
    THERE("hard1");
}

CASE(one_of_two_names) {
    NUM(rename("hard1", "dir/hard"));
    LINKS("hard2"), TEXT("dir/hard");
    NUM(rename("file", "hard2"));
    LINKS("dir/hard"), LINKS("hard2");
}

CASE(links_are_moved_not_followed) {
    NUM(rename("link", "new"));
    IS(S_ISLNK(look("new").st_mode));
    NUM(rename("file", "dangling"));
    THERE("nowhere"), TEXT("dangling");
    NUM(rename("big", "new"));
    IS(S_ISREG(look("new").st_mode));
    NUM(rename("dirlink", "moved"));
    list("moved");
    NUM(rename("loop1", "loop3"));
    THERE("loop3");
}

CASE(fifos_move) {
    int r = MUST(open("fifo", O_RDONLY | O_NONBLOCK));
    NUM(rename("fifo", "dir/fifo"));
    int w = MUST(open("dir/fifo", O_WRONLY | O_NONBLOCK));
    char c;
    NUM(write(w, "x", 1)), NUM(read(r, &c, 1));
}

CASE(no_such_place) {
    NUM(rename("missing", "new")), NUM(rename("", "new")), NUM(rename("file", "")), NUM(rename("missing", "file"));
    NUM(rename("file", "missing/new")), NUM(rename("file", "big/new")), NUM(rename("big/x", "new"));
    NUM(rename("loop1/x", "new")), NUM(rename("file", "loop1/x")), NUM(rename("dangling/x", "new"));
    NUM(rename((char *)8, "new")), NUM(rename("file", (char *)8));
    NUM(renameat(999, "file", AT_FDCWD, "new")), NUM(renameat(AT_FDCWD, "file", 999, "new"));
    NUM(renameat(MUST(open("file", O_RDONLY)), "file", AT_FDCWD, "new"));
    NUM(rename("file", "/proc/new")), NUM(rename("/proc/version", "new"));
    list(".");
}

CASE(dots) {
    NUM(rename(".", "new")), NUM(rename("..", "new")), NUM(rename("dir/.", "new")), NUM(rename("dir/..", "new"));
    NUM(rename("dir", ".")), NUM(rename("dir", "..")), NUM(rename("dir", "empty/.")), NUM(rename("dir", "empty/.."));
    NUM(rename("file", ".")), NUM(rename("missing", "."));
}

CASE(trailing_slashes) {
    NUM(rename("file/", "new")), NUM(rename("file", "new/")), NUM(rename("file", "big/")), NUM(rename("link/", "new"));
    NUM(rename("dirlink/", "new")), NUM(rename("dir/", "new")), NUM(rename("new", "dir/"));
    NUM(rename("dir/", "empty/")), NUM(rename("missing/", "new")), NUM(rename("empty", "dirlink/"));
    list(".");
}

CASE(open_file_follows) {
    int fd = MUST(open("file", O_RDWR));
    NUM(rename("file", "dir/new"));
    NUM(write(fd, "LOWER", 5));
    TEXT("dir/new");
    char name[64], text[300] = "";
    sprintf(name, "/proc/self/fd/%d", fd);
    IS(readlink(name, text, 299) > 8 && !strcmp(text + strlen(text) - 8, "/dir/new"));
}

CASE(working_folder_follows) {
    MUST(chdir("dir/sub"));
    NUM(rename("../../dir", "../../empty/moved"));
    TEXT("c");
    list("..");
    char name[300] = "";
    IS(getcwd(name, 300) && !strcmp(name + strlen(name) - 16, "/empty/moved/sub"));
    TRY(open("../../../file", O_RDONLY));
}

CASE(mapped_files) {
    int fd = MUST(open("big", O_RDWR));
    char *map = MUST(mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    NUM(rename("big", "dir/big")), NUM(rename("file", "dir/big"));
    map[0] = 'Z';
    char c;
    NUM(pread(fd, &c, 1, 0));
    say("%c %c", c, map[19000]);
    TEXT("dir/big");
}

CASE(links_of_folders) {
    NUM(rename("dir/sub", "sub"));
    LINKS("dir"), LINKS("sub");
    NUM(rename("empty", "dir/one"));
    LINKS("dir");
    NUM(rename("sub", "dir/two"));
    LINKS("dir");
    NUM(mkdir("three", 0755)), NUM(rename("three", "dir/one"));
    LINKS("dir");
}

CASE(rights_of_both_folders) {
    need_root();
    int modes[][2] = {{0755, 0755}, {0777, 0755}, {0755, 0777}, {0777, 0777}, {0776, 0777}, {0777, 0776}};
    for (int i = 0; i < 6; i++) {
        MUST(chmod("dir", modes[i][0])), MUST(chmod("empty", modes[i][1]));
        say("%o %o", modes[i][0], modes[i][1]);
        AS(1000, 1000) NUM(rename("dir/a", "empty/a")), NUM(rename("dir/b", "dir/c")), NUM(rename("dir/c", "dir/b"));
    }
    list("dir"), list("empty");
}

CASE(folders_need_their_own_right_to_move) {
    need_root();
    MUST(chmod("dir", 0777)), MUST(chmod("empty", 0777));
    AS(1000, 1000) NUM(rename("dir/sub", "empty/sub")), NUM(rename("dir/sub", "dir/sub2"));
    MUST(mkdir("dir/mine", 0555)), MUST(chown("dir/mine", 1000, 1000));
    AS(1000, 1000) NUM(rename("dir/mine", "empty/mine")), NUM(rename("dir/mine", "dir/mine2"));
    list("dir");
}

CASE(sticky) {
    need_root();
    MUST(chmod("dir", 01777)), MUST(chmod("empty", 0777));
    put("dir/mine", ""), MUST(chown("dir/mine", 1000, 1000));
    AS(1000, 1000) {
        NUM(rename("dir/a", "dir/c")), NUM(rename("dir/a", "empty/a")), NUM(rename("dir/mine", "dir/a"));
        NUM(unlink("dir/a")), NUM(rename("dir/mine", "dir/mine2")), NUM(rename("dir/mine2", "empty/mine"));
        NUM(rename("empty/mine", "dir/b")), EXCHANGE("empty/mine", "dir/b"), NUM(rmdir("dir/sub"));
        NUM(unlink("dir/missing")), NUM(link("empty/mine", "dir/mine"));
    }
    MUST(chown("dir", 1000, 1000));
    AS(1000, 1000) NUM(unlink("dir/a")), NUM(rename("dir/b", "dir/c"));
    list("dir"), list("empty");
}

CASE(times) {
    WATCH("file", "dir", "empty", ".");
    NUM(rename("file", "dir/new"));
    SHOW();
    WATCH("dir/new", "dir", "dir/sub", "empty", ".");
    NUM(rename("dir/sub", "empty/sub"));
    SHOW();
    WATCH("dir/a", "dir/b", "dir");
    NUM(rename("dir/a", "dir/b"));
    SHOW();
    WATCH("hard1", "hard2", ".");
    NUM(rename("hard1", "hard2")), NUM(rename("missing", "x")), NUM(rename("dir", "empty"));
    SHOW();
}

CASE(noreplace) {
    NOREPLACE("file", "big"), NOREPLACE("file", "dir"), NOREPLACE("file", "dangling"), NOREPLACE("file", "file");
    NOREPLACE("hard1", "hard2"), NOREPLACE("missing", "new"), NOREPLACE("missing", "big"), NOREPLACE("dir", "dir/sub");
    NOREPLACE("dir", "dir/new"), NOREPLACE("file", "."), NOREPLACE("file", "new/");
    NOREPLACE("file", "new"), NOREPLACE("dir", "empty"), NOREPLACE("dir", "empty/dir");
    TEXT("new"), list(".");
}

CASE(exchange_files) {
    ino_t ino = look("file").st_ino;
    EXCHANGE("file", "dir/a");
    TEXT("file"), TEXT("dir/a");
    IS(look("dir/a").st_ino == ino);
    EXCHANGE("hard1", "hard2"), EXCHANGE("file", "file");
    LINKS("hard1");
}

CASE(exchange_different_kinds) {
    EXCHANGE("file", "dir");
    TEXT("dir"), list("file");
    EXCHANGE("link", "empty");
    list("link");
    IS(S_ISLNK(look("empty").st_mode));
    EXCHANGE("fifo", "dangling");
    IS(S_ISFIFO(look("dangling").st_mode));
    list(".");
}

CASE(exchange_full_folders) {
    MUST(mkdir("other", 0755)), put("other/x", "X");
    EXCHANGE("dir", "other");
    list("dir"), list("other"), LINKS("dir"), LINKS("other");
    EXCHANGE("other/sub", "empty");
    list("empty"), list("other/sub");
    EXCHANGE("other/a", "empty/c");
    LINKS("other");
    EXCHANGE("other/sub", "file");
    LINKS("other"), LINKS(".");
}

CASE(exchange_refuses) {
    EXCHANGE("file", "missing"), EXCHANGE("missing", "file"), EXCHANGE("dir", "dir/sub"), EXCHANGE("dir/sub", "dir");
    EXCHANGE("file", "."), EXCHANGE(".", "file"), EXCHANGE("file/", "big"), EXCHANGE("file", "big/");
    EXCHANGE("file", "dir/"), EXCHANGE("dir", "dir/sub/c");
    NUM(renameat2(AT_FDCWD, "file", AT_FDCWD, "big", RENAME_EXCHANGE | RENAME_NOREPLACE));
    NUM(renameat2(AT_FDCWD, "file", AT_FDCWD, "new", 0x100));
    NUM(renameat2(AT_FDCWD, "file", AT_FDCWD, "new", RENAME_EXCHANGE | RENAME_WHITEOUT));
    TEXT("file"), list(".");
}

CASE(exchange_times) {
    WATCH("file", "dir/a", "dir", ".");
    EXCHANGE("file", "dir/a");
    SHOW();
}

CASE(over_and_over) {
    for (int i = 0; i < 100; i++) {
        char text[16];
        sprintf(text, "%d", i);
        put("draft", text);
        MUST(rename("draft", "file"));
    }
    TEXT("file"), LINKS("file"), list(".");
}
