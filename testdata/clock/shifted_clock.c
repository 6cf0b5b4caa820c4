/* A library to preload: the time of day is wrong by the seconds in the file that the environment
 * variable SHIFTED_CLOCK names. The file is read at every call, so that the clock of a running
 * process can be made to jump; replace it by renaming another one over it. How long something
 * takes is measured by other clocks, which stay right.
 *
 *     cc -shared -fPIC -O2 -o shifted_clock.so shifted_clock.c
 *     SHIFTED_CLOCK=offset LD_PRELOAD=./shifted_clock.so PROGRAM
 *
 * Only system calls and functions that may be called anywhere are used: the program may ask for
 * the time while it holds any lock. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    const char *path = getenv("SHIFTED_CLOCK");
    char text[32];
    int saved = errno;
    long file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    long length = file >= 0 ? syscall(SYS_read, file, text, sizeof text - 1) : -1;
    if (file >= 0)
        syscall(SYS_close, file);
    errno = saved;
    if (length < 0)
        return 0;
    text[length] = 0;
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += offset();
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &time) != 0)
        return -1;
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
