/* A clock that can be set: the time of day is ahead by the seconds in the file SOAK_CLOCK, eight
 * bytes, for the program that loads this before the C library. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t zero = 0;
static const volatile int64_t *ahead = &zero;

__attribute__((constructor)) static void map_file(void) {
  const char *path = getenv("SOAK_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *content = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
  if (content != MAP_FAILED) ahead = content;
  close(file);
}

int clock_gettime(clockid_t id, struct timespec *time) {
  long failed = syscall(SYS_clock_gettime, id, time);
  if (!failed && id == CLOCK_REALTIME) time->tv_sec += *ahead;
  return (int)failed;
}
