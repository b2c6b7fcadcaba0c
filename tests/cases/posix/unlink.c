// unlink(2) and files that are open without a name.
#include "posix.h"

CASE(removes) {
    NUM(unlink("file")), NUM(unlink("link")), NUM(unlink("dangling")), NUM(unlink("fifo")), NUM(unlink("loop1"));
    NUM(unlink("dir/a")), NUM(unlink("dirlink/b"));
    list("."), list("dir");
    NUM(unlink("file"));
}

CASE(a_link_and_not_its_target) {
    NUM(unlink("link"));
    TEXT("file");
    NUM(unlink("dirlink"));
    list("dir");
}

CASE(refuses) {
    NUM(unlink("dir")), NUM(unlink("empty")), NUM(unlink("missing")), NUM(unlink("")), NUM(unlink("file/x"));
    NUM(unlink("file/")), NUM(unlink("dir/")), NUM(unlink("link/")), NUM(unlink("dirlink/")), NUM(unlink("missing/"));
    NUM(unlink(".")), NUM(unlink("..")), NUM(unlink("/")), NUM(unlink("dir/.")), NUM(unlink("loop1/x"));
    NUM(unlink("dangling/")), NUM(unlink((char *)8)), NUM(unlinkat(999, "file", 0));
    NUM(unlinkat(AT_FDCWD, "file", 0x4000)), NUM(unlinkat(MUST(open("file", O_RDONLY)), "x", 0));
    list(".");
}

CASE(links_count_down) {
    int fd = MUST(open("hard1", O_RDONLY));
    struct stat s;
    MUST(fstat(fd, &s));
    NUM(s.st_nlink);
    NUM(unlink("hard2"));
    MUST(fstat(fd, &s));
    NUM(s.st_nlink);
    NUM(unlink("hard1"));
    MUST(fstat(fd, &s));
    NUM(s.st_nlink);
}

CASE(one_name_of_two) {
    NUM(unlink("hard1"));
    TEXT("hard2"), LINKS("hard2");
    put("hard1", "other");
    TEXT("hard2"), TEXT("hard1"), LINKS("hard1");
}

CASE(open_file_goes_on) {
    int fd = MUST(open("file", O_RDWR));
    NUM(unlink("file"));
    char text[32] = "";
    NUM(pread(fd, text, 31, 0));
    say("%s", text);
    NUM(pwrite(fd, "LOWER", 5, 0));
    NUM(ftruncate(fd, 8));
    NUM(lseek(fd, 0, SEEK_END));
    NUM(fchmod(fd, 0600));
    struct stat s;
    MUST(fstat(fd, &s));
    say("%o %ld %ld", s.st_mode, (long)s.st_nlink, (long)s.st_size);
    memset(text, 0, 32);
    NUM(pread(fd, text, 31, 0));
    say("%s", text);
    put("file", "new");
    NUM(pread(fd, text, 31, 0));
    TEXT("file");
}

CASE(open_file_can_be_reached_by_proc) {
    int fd = MUST(open("file", O_RDONLY));
    NUM(unlink("file"));
    char name[64], text[300] = "";
    sprintf(name, "/proc/self/fd/%d", fd);
    IS(readlink(name, text, 299) > 0 && strstr(text, "/file (deleted)"));
    int again = MUST(open(name, O_RDWR));
    NUM(write(again, "LOWER", 5));
    memset(text, 0, sizeof text);
    NUM(pread(fd, text, 20, 0));
    say("%s", text);
}

CASE(open_file_gets_no_name_back) {
    int fd = MUST(open("file", O_RDONLY));
    NUM(unlink("file"));
    char name[64];
    sprintf(name, "/proc/self/fd/%d", fd);
    NUM(linkat(AT_FDCWD, name, AT_FDCWD, "again", AT_SYMLINK_FOLLOW) ? errno : 0);
}

CASE(mapped_file_goes_on) {
    int fd = MUST(open("big", O_RDWR));
    char *map = MUST(mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    NUM(unlink("big"));
    MUST(close(fd));
    say("%c %c", map[0], map[19999]);
    map[0] = 'X';
    say("%c", map[0]);
    THERE("big");
}

CASE(rights_are_of_the_folder) {
    need_root();
    put("dir/mine", ""), MUST(chown("dir/mine", 1000, 1000));
    MUST(chmod("dir/a", 0));
    AS(1000, 1000) NUM(unlink("dir/mine")), NUM(unlink("dir/a")), NUM(unlink("dir/missing"));
    MUST(chmod("dir", 0777));
    AS(1000, 1000) NUM(unlink("dir/mine")), NUM(unlink("dir/a"));
    MUST(chmod("dir", 0776));
    AS(1000, 1000) NUM(unlink("dir/b"));
    list("dir");
}

CASE(times) {
    WATCH("dir", "dir/a", ".");
    NUM(unlink("dir/a"));
    SHOW();
    WATCH("hard1", ".");
    NUM(unlink("hard2"));
    SHOW();
    WATCH("file", ".");
    NUM(unlink("missing")), NUM(unlink("dir"));
    SHOW();
}

CASE(made_again_is_another) {
    ino_t was = look("file").st_ino;
    int fd = MUST(open("file", O_RDONLY));
    MUST(unlink("file"));
    put("file", "new");
    IS(look("file").st_ino == was);
    TEXT("file");
    char c;
    NUM(read(fd, &c, 1));
    say("%c", c);
}

CASE(many) {
    char name[32];
    for (int i = 0; i < 300; i++) {
        sprintf(name, "empty/%d", i);
        put(name, "");
    }
    NUM(rmdir("empty"));
    for (int i = 0; i < 300; i += 2) {
        sprintf(name, "empty/%d", i);
        MUST(unlink(name));
    }
    IS(there("empty/1") && !there("empty/0") && there("empty/299") && !there("empty/298"));
    for (int i = 1; i < 300; i += 2) {
        sprintf(name, "empty/%d", i);
        MUST(unlink(name));
    }
    NUM(rmdir("empty"));
}

CASE(space_is_kept_while_open) {
    int fd = MUST(open("new", O_RDWR | O_CREAT, 0600));
    static char block[1 << 16];
    memset(block, 1, sizeof block);
    for (int i = 0; i < 16; i++)
        MUST(write(fd, block, sizeof block));
    MUST(fsync(fd));
    struct stat s;
    MUST(fstat(fd, &s));
    IS(s.st_blocks * 512 >= 1 << 20);
    MUST(unlink("new"));
    MUST(fstat(fd, &s));
    IS(s.st_blocks * 512 >= 1 << 20);
    NUM(ftruncate(fd, 0));
    MUST(fstat(fd, &s));
    NUM(s.st_blocks);
}

CASE(while_a_folder_is_read) {
    for (int i = 0; i < 40; i++) {
        char name[32];
        sprintf(name, "empty/%d", i);
        put(name, "");
    }
    DIR *dir = opendir("empty");
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            seen++, MUST(unlinkat(dirfd(dir), entry->d_name, 0));
    NUM(seen);
    rewinddir(dir);
    seen = 0;
    while (readdir(dir))
        seen++;
    NUM(seen);
    NUM(rmdir("empty"));
}
