// Loaded before the C library, it lets a program have no more threads at a time than THREADS_MOST, as a system that has
// run out of them would.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct work {
    void *(*run)(void *);
    void *arg;
};

static atomic_int threads;

static void *counted(void *given)
{
    struct work work = *(struct work *)given;
    free(given);
    void *result = work.run(work.arg);
    atomic_fetch_sub(&threads, 1);
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    const char *most = getenv("THREADS_MOST");
    struct work *work = malloc(sizeof *work);
    if (!next)
        next = dlsym(RTLD_NEXT, "pthread_create");
    if (!work || (most && atomic_fetch_add(&threads, 1) >= atoi(most))) {
        atomic_fetch_sub(&threads, 1);
        free(work);
        return EAGAIN;
    }
    *work = (struct work){run, arg};
    int failed = next(thread, attr, counted, work);
    if (failed) {
        atomic_fetch_sub(&threads, 1);
        free(work);
    }
    return failed;
}
