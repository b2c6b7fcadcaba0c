// copy_file_range: offsets, overlap, end of file, append, descriptors with wrong modes.
#include "../case.h"
int main(void) {
    scratch();
    put("in", "0123456789");
    int in = MUST(open("in", O_RDWR)), out = MUST(open("out", O_RDWR | O_CREAT, 0644));
    loff_t a = 2, b = 5;
    NUM(copy_file_range(in, &a, out, &b, 4, 0));
    say("%ld %ld", (long)a, (long)b);
    NUM(copy_file_range(in, NULL, out, NULL, 3, 0));
    NUM(lseek(in, 0, SEEK_CUR) + lseek(out, 0, SEEK_CUR));
    a = 8;
    NUM(copy_file_range(in, &a, out, NULL, 100, 0));
    NUM(copy_file_range(in, &a, out, NULL, 100, 0));
    char text[32] = "";
    long n = pread(out, text, 31, 0);
    for (int i = 0; i < n; i++)
        text[i] = text[i] ? text[i] : '.';
    say("%s", text);
    a = 0, b = 5;
    NUM(copy_file_range(in, &a, in, &b, 5, 0));
    say("%s", get("in"));
    a = 0, b = 3;
    NUM(copy_file_range(in, &a, in, &b, 5, 0));
    NUM(copy_file_range(in, NULL, MUST(open("out", O_RDONLY)), NULL, 5, 0));
    NUM(copy_file_range(MUST(open("out", O_WRONLY)), NULL, out, NULL, 5, 0));
    NUM(copy_file_range(in, NULL, MUST(open("out", O_WRONLY | O_APPEND)), NULL, 5, 0));
    NUM(copy_file_range(in, NULL, out, NULL, 5, 1));
    int p[2];
    MUST(pipe(p));
    NUM(copy_file_range(in, NULL, p[1], NULL, 5, 0));
    NUM(copy_file_range(MUST(open(".", O_RDONLY)), NULL, out, NULL, 5, 0));
}
