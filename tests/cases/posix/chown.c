// chown(2) and what set-group-ID folders give.
#include "posix.h"

CASE(sets_both_or_one) {
    need_root();
    NUM(chown("file", 1000, 2000));
    OWNER("file");
    NUM(chown("file", -1, 3000));
    OWNER("file");
    NUM(chown("file", 4000, -1));
    OWNER("file");
    NUM(chown("file", -1, -1));
    OWNER("file");
    NUM(chown("dir", 70000, 70001)), NUM(chown("fifo", 5, 6));
    OWNER("dir"), OWNER("fifo"), OWNER("dir/a");
}

CASE(links) {
    need_root();
    NUM(chown("link", 1000, 2000));
    OWNER("file"), OWNER("link");
    NUM(lchown("link", 1, 2));
    OWNER("file"), OWNER("link");
    NUM(fchownat(AT_FDCWD, "dangling", 3, 4, AT_SYMLINK_NOFOLLOW)), NUM(chown("dangling", 3, 4));
    OWNER("dangling");
    NUM(fchownat(MUST(open("link", O_PATH | O_NOFOLLOW)), "", 7, 8, AT_EMPTY_PATH));
    OWNER("link");
    NUM(chown("hard1", 9, 9));
    OWNER("hard2");
}

CASE(refuses) {
    NUM(chown("missing", 1, 1)), NUM(chown("", 1, 1)), NUM(chown("file/", 1, 1)), NUM(chown("file/x", 1, 1));
    NUM(chown("loop1", 1, 1)), NUM(fchown(999, 1, 1)), NUM(fchownat(AT_FDCWD, "file", 1, 1, 0x4000));
    NUM(fchownat(999, "file", 1, 1, 0)), NUM(chown((char *)8, 1, 1)), NUM(lchown("loop1/x", 1, 1));
    NUM(fchownat(999, "", 1, 1, AT_EMPTY_PATH));
}

CASE(by_another) {
    need_root();
    MUST(chown("file", 1000, 2000));
    AS_IN(1000, 2000, 3000) {
        NUM(chown("file", 1001, -1)), NUM(chown("file", 1000, -1)), NUM(chown("file", -1, 3000));
        NUM(chown("file", -1, 2000)), NUM(chown("file", 1000, 3000)), NUM(chown("file", -1, 4000));
        NUM(chown("file", -1, -1)), OWNER("file");
    }
    AS(1001, 2000) NUM(chown("file", -1, 2000)), NUM(chown("file", -1, -1)), NUM(chown("file", 1001, -1));
    AS(1001, 1001) NUM(chown("dir", -1, -1)), NUM(chown("dir", 0, 0));
}

CASE(takes_bits) {
    need_root();
    int modes[] = {04755, 02755, 06755, 02745, 06644, 07777};
    for (int i = 0; i < 6; i++) {
        MUST(chmod("prog", modes[i])), NUM(chown("prog", 1000, 1000));
        MODE("prog");
        MUST(chmod("dir", modes[i])), NUM(chown("dir", 1000, 1000));
        MODE("dir");
    }
}

CASE(takes_bits_without_a_change) {
    need_root();
    NUM(chown("prog", -1, -1));
    MODE("prog");
    NUM(chown("prog", 0, -1));
    MODE("prog");
    MUST(chmod("prog", 06755));
    NUM(chown("prog", -1, 0));
    MODE("prog");
}

CASE(takes_bits_from_the_owner) {
    need_root();
    MUST(chown("prog", 1000, 2000)), MUST(chmod("prog", 06755));
    AS_IN(1000, 2000, 3000) NUM(chown("prog", -1, 3000)), MODE("prog");
    MUST(chmod("prog", 06755));
    AS_IN(1000, 2000, 3000) NUM(chown("prog", -1, -1)), MODE("prog");
    MUST(chmod("prog", 06745));
    AS_IN(1000, 2000, 3000) NUM(chown("prog", 1000, -1)), MODE("prog");
}

CASE(times) {
    need_root();
    WATCH("file", ".");
    NUM(chown("file", 5, 5));
    SHOW();
    WATCH("file");
    NUM(chown("file", 5, 5));
    SHOW();
    WATCH("file");
    NUM(chown("file", -1, -1));
    SHOW();
    WATCH("link", "file");
    NUM(lchown("link", 5, 5));
    SHOW();
}

CASE(new_files_belong_to_their_maker) {
    need_root();
    MUST(chmod("empty", 0777)), MUST(chown("empty", 5, 6));
    AS(1000, 2000) {
        put("empty/f", ""), MUST(mkdir("empty/d", 0700)), MUST(symlink("x", "empty/l")), MUST(mkfifo("empty/p", 0600));
        OWNER("empty/f"), OWNER("empty/d"), OWNER("empty/l"), OWNER("empty/p");
    }
}

CASE(setgid_folder_gives_its_group) {
    need_root();
    MUST(chown("empty", 5, 6)), MUST(chmod("empty", 02777));
    AS(1000, 2000) {
        put("empty/f", ""), MUST(mkdir("empty/d", 0700)), MUST(symlink("x", "empty/l")), MUST(mkfifo("empty/p", 0600));
        OWNER("empty/f"), OWNER("empty/d"), OWNER("empty/l"), OWNER("empty/p");
        MODE("empty/f"), MODE("empty/d");
        MUST(mkdir("empty/d/e", 0755));
        OWNER("empty/d/e"), MODE("empty/d/e");
    }
}

CASE(setgid_folder_and_setgid_files) {
    need_root();
    MUST(chown("empty", 5, 6)), MUST(chmod("empty", 02777));
    umask(0);
    AS(1000, 2000) {
        MUST(close(MUST(open("empty/a", O_CREAT | O_WRONLY, 02755))));
        MUST(close(MUST(open("empty/b", O_CREAT | O_WRONLY, 02745))));
        MODE("empty/a"), MODE("empty/b");
    }
    AS_IN(1000, 2000, 6) {
        MUST(close(MUST(open("empty/c", O_CREAT | O_WRONLY, 02755))));
        MODE("empty/c");
    }
}

CASE(setgid_folder_and_moves) {
    need_root();
    MUST(chown("empty", 5, 6)), MUST(chmod("empty", 02777));
    NUM(rename("file", "empty/file")), NUM(link("big", "empty/big")), NUM(rename("dir", "empty/dir"));
    OWNER("empty/file"), OWNER("empty/big"), OWNER("empty/dir"), MODE("empty/dir");
}

CASE(by_fsuid) {
    need_root();
    MUST(chmod("empty", 0777));
    CHILD {
        syscall(SYS_setfsgid, 2000), syscall(SYS_setfsuid, 1000);
        put("empty/new", "");
        OWNER("empty/new");
        MUST(chmod("file", 0600) ? 0 : -1);
        TRY(open("file", O_WRONLY));
    }
}
