/* Lies about what time it is, to the program that loads it first. CLOCK_JUMPS says how, in seconds: what is added to the
   time of day, to that again every 200 ms (or nothing), and to the clock that only goes forward, after a second. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long first, then, slept, start = -1;

static long millis(void) {
    struct timespec ts;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((constructor)) static void begin(void) {
    char *jumps = getenv("CLOCK_JUMPS");
    if (jumps) {
        first = strtol(jumps, &jumps, 10);
        then = strtol(jumps, &jumps, 10);
        slept = strtol(jumps, &jumps, 10);
    }
    start = millis();
}

int clock_gettime(clockid_t id, struct timespec *ts) {
    int failed = syscall(SYS_clock_gettime, id, ts);
    long since = start < 0 ? 0 : millis() - start;
    if (!failed && since > 1000) {
        if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
            ts->tv_sec += since / 200 % 2 ? then : first;
        else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME)
            ts->tv_sec += slept;
    }
    return failed;
}
