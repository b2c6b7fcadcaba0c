// close_range closes a range, or marks it close-on-exec; ranges beyond what is open are fine.
#include "../case.h"
#include <linux/close_range.h>
int main(void) {
    for (int i = 10; i < 20; i++)
        MUST(dup2(1, i));
    NUM(close_range(12, 14, 0));
    say("%d %d %d %d", fcntl(11, F_GETFD), fcntl(12, F_GETFD), fcntl(14, F_GETFD), fcntl(15, F_GETFD));
    NUM(close_range(16, 17, CLOSE_RANGE_CLOEXEC));
    say("%d %d %d", fcntl(15, F_GETFD), fcntl(16, F_GETFD), fcntl(18, F_GETFD));
    NUM(close_range(18, ~0U, 0));
    NUM(fcntl(19, F_GETFD));
    NUM(close_range(20, 10, 0));
    NUM(close_range(20, 30, 0x80));
    NUM(close_range(1000000, ~0U, 0));
    NUM(close_range(15, 15, CLOSE_RANGE_UNSHARE));
    NUM(fcntl(15, F_GETFD));
    closefrom(5);
    NUM(fcntl(10, F_GETFD));
}
