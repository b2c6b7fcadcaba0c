// sendfile: offsets, file to file, to a pipe and a socket, end of file, refused pairs.
#include "../case.h"
#include <sys/sendfile.h>
int main(void) {
    scratch();
    put("in", "0123456789");
    int in = MUST(open("in", O_RDONLY)), out = MUST(open("out", O_RDWR | O_CREAT, 0644));
    off_t offset = 3;
    NUM(sendfile(out, in, &offset, 4));
    NUM(offset);
    NUM(lseek(in, 0, SEEK_CUR));
    NUM(sendfile(out, in, NULL, 100));
    NUM(sendfile(out, in, NULL, 100));
    NUM(lseek(in, 0, SEEK_CUR));
    say("%s", get("out"));
    int p[2], s[2];
    MUST(pipe(p)), MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    offset = 0;
    NUM(sendfile(p[1], in, &offset, 5));
    char text[16] = "";
    NUM(read(p[0], text, 16));
    NUM(sendfile(s[0], in, &offset, 5));
    NUM(read(s[1], text + 5, 11));
    say("%s", text);
    NUM(sendfile(out, p[0], NULL, 5));
    NUM(sendfile(out, s[0], NULL, 5));
    offset = -1;
    NUM(sendfile(out, in, &offset, 5));
    int append = MUST(open("out", O_WRONLY | O_APPEND));
    offset = 0;
    NUM(sendfile(append, in, &offset, 5));
    NUM(sendfile(in, in, NULL, 5));
    NUM(sendfile(out, in, (void *)8, 5));
    NUM(sendfile(out, in, NULL, 0));
}
