// chmod(2), umask(2) and the bits that other calls take away.
#include "posix.h"

CASE(sets_all_bits) {
    int modes[] = {0, 0777, 0421, 01644, 02755, 04755, 07777, 0644};
    for (int i = 0; i < 8; i++) {
        NUM(chmod("file", modes[i]));
        MODE("file");
        NUM(chmod("dir", modes[i]));
        MODE("dir");
    }
}

CASE(ignores_higher_bits) {
    NUM(chmod("file", 0170600));
    MODE("file");
    NUM(chmod("file", 010644));
    MODE("file");
}

CASE(follows_links) {
    NUM(chmod("link", 0600)), NUM(chmod("dirlink", 0700));
    MODE("file"), MODE("dir"), MODE("link");
    NUM(chmod("dangling", 0600)), NUM(chmod("loop1", 0600));
}

CASE(link_itself) {
    NUM(fchmodat(AT_FDCWD, "file", 0600, AT_SYMLINK_NOFOLLOW));
    MODE("file"), MODE("link");
    NUM(fchmodat(AT_FDCWD, "file", 0600, 0x4000));
}

CASE(refuses) {
    NUM(chmod("missing", 0600)), NUM(chmod("", 0600)), NUM(chmod("file/", 0600)), NUM(chmod("file/x", 0600));
    NUM(chmod((char *)8, 0600)), NUM(fchmod(999, 0600)), NUM(fchmodat(999, "file", 0600, 0));
    NUM(fchmodat(MUST(open("file", O_RDONLY)), "x", 0600, 0)), NUM(chmod("loop1/x", 0600));
    NUM(fchmodat(AT_FDCWD, "missing", 0600, 0));
}

CASE(by_descriptor) {
    int fd = MUST(open("file", O_RDONLY));
    NUM(fchmod(fd, 0));
    MODE("file");
    NUM(fchmod(MUST(open("dir", O_RDONLY)), 0700));
    MODE("dir");
    char c;
    NUM(read(fd, &c, 1));
}

CASE(open_descriptors_keep_their_rights) {
    need_root();
    AS(1000, 1000) {
        int fd = MUST(open("file", O_RDONLY));
        NUM(chmod("file", 0600));
        char c;
        NUM(read(fd, &c, 1));
    }
}

CASE(only_the_owner) {
    need_root();
    MUST(chown("file", 1000, 1000));
    AS(1000, 1000) NUM(chmod("file", 0666)), NUM(fchmod(MUST(open("file", O_RDONLY)), 0604));
    AS(1001, 1000) NUM(chmod("file", 0600)), NUM(fchmod(MUST(open("file", O_RDONLY)), 0600));
    AS(1001, 1001) NUM(chmod("file", 0604)), NUM(chmod("dir", 0700)), NUM(chmod("link", 0700));
    MODE("file");
}

CASE(setgid_needs_the_group) {
    need_root();
    MUST(chown("file", 1000, 2000)), MUST(chown("dir", 1000, 2000));
    AS(1000, 1000) NUM(chmod("file", 02755)), MODE("file"), NUM(chmod("dir", 02755)), MODE("dir");
    AS_IN(1000, 1000, 2000) NUM(chmod("file", 02755)), MODE("file"), NUM(chmod("file", 06711)), MODE("file");
    AS(1000, 2000) NUM(chmod("file", 02644)), MODE("file");
    NUM(chmod("file", 02755));
    MODE("file");
}

CASE(sticky_on_a_file) {
    need_root();
    MUST(chown("file", 1000, 1000));
    AS(1000, 1000) NUM(chmod("file", 01644)), MODE("file");
}

CASE(times) {
    WATCH("file", ".");
    NUM(chmod("file", 0600));
    SHOW();
    WATCH("file");
    NUM(chmod("file", 0600));
    SHOW();
    WATCH("dir");
    NUM(chmod("dir", 0700));
    SHOW();
}

CASE(writing_by_root_keeps_bits) {
    need_root();
    MODE("prog");
    int fd = MUST(open("prog", O_WRONLY));
    NUM(write(fd, "x", 1));
    MODE("prog");
    NUM(ftruncate(fd, 1));
    MODE("prog");
}

CASE(writing_by_another_takes_bits) {
    need_root();
    MUST(chmod("prog", 06777));
    AS(1000, 1000) {
        int fd = MUST(open("prog", O_WRONLY));
        MODE("prog");
        NUM(write(fd, "x", 1));
        MODE("prog");
    }
    MUST(chmod("prog", 06767));
    AS(1000, 1000) NUM(write(MUST(open("prog", O_WRONLY)), "x", 1)), MODE("prog");
    MUST(chmod("prog", 04666));
    AS(1000, 1000) NUM(write(MUST(open("prog", O_WRONLY)), "x", 1)), MODE("prog");
}

CASE(truncating_by_another_takes_bits) {
    need_root();
    MUST(chmod("prog", 06777));
    AS(1000, 1000) NUM(truncate("prog", 3)), MODE("prog");
    MUST(chmod("prog", 06777));
    AS(1000, 1000) TRY(open("prog", O_WRONLY | O_TRUNC)), MODE("prog");
    MUST(chmod("prog", 06777));
    AS(1000, 1000) NUM(ftruncate(MUST(open("prog", O_WRONLY)), 5)), MODE("prog");
}

CASE(writing_by_the_owner_takes_bits) {
    need_root();
    MUST(chown("prog", 1000, 1000));
    MUST(chmod("prog", 06755));
    AS(1000, 1000) NUM(write(MUST(open("prog", O_WRONLY)), "", 0)), MODE("prog");
    AS(1000, 1000) NUM(write(MUST(open("prog", O_WRONLY)), "x", 1)), MODE("prog");
}

CASE(umask_of_each_kind) {
    int masks[] = {0, 022, 077, 0777, 0137};
    for (int i = 0; i < 5; i++) {
        umask(masks[i]);
        MUST(close(MUST(open("f", O_CREAT | O_WRONLY, 0666))));
        MUST(mkdir("d", 0777)), MUST(mkfifo("p", 0666)), MUST(mknod("n", S_IFREG | 0666, 0));
        MUST(symlink("x", "l"));
        say("umask %o", masks[i]);
        MODE("f"), MODE("d"), MODE("p"), MODE("n"), MODE("l");
        MUST(unlink("f")), MUST(rmdir("d")), MUST(unlink("p")), MUST(unlink("n")), MUST(unlink("l"));
    }
}

CASE(umask_is_of_the_process) {
    NUM(umask(027)), NUM(umask(07022)), NUM(umask(022));
    CHILD NUM(umask(077));
    NUM(umask(022));
    umask(07777);
    NUM(umask(0));
}

CASE(umask_does_not_touch_chmod) {
    umask(0777);
    NUM(chmod("file", 0666));
    MODE("file");
}
