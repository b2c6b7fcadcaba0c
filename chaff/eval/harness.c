/* One input per process, read by libmagic: `file` without its options. Where a fuzzer's fork server is linked in, it starts
 * behind the loading of the magic, which takes most of the time. */
#include <magic.h>
#include <stdio.h>
__attribute__((weak)) void __afl_manual_init(void);
static const char *volatile deferred = "##SIG_AFL_DEFER_FORKSRV##";
int main(int argc, char **argv) {
    magic_t magic = magic_open(0);
    if (argc < 3 || !magic || magic_load(magic, argv[1])) return 2;
    if (deferred && __afl_manual_init) __afl_manual_init();
    const char *said = magic_file(magic, argv[2]);
    puts(said ? said : magic_error(magic));
    return 0;
}
