/*
 * The floor of a request on Linux: an epoll loop in C that answers +PONG to each command, and does nothing else.
 *   cc -O2 -o echo bench/echo/echo.c && ./echo PORT
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define PING_BYTES 14

static char buffer[65536];

static void answer(int descriptor, ssize_t length) {
  if (length == PING_BYTES) {
    send(descriptor, "+PONG\r\n", 7, MSG_NOSIGNAL);
    return;
  }
  for (ssize_t at = 0; at < length; at++)
    if (buffer[at] == '*') send(descriptor, "+PONG\r\n", 7, MSG_NOSIGNAL);
}

int main(int count, char **words) {
  if (count < 2) return 2;
  int one = 1;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 511) != 0) return 1;
  int epoll = epoll_create1(0);
  struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener};
  struct epoll_event ready[EVENTS];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &wanted);
  for (;;) {
    int found = epoll_wait(epoll, ready, EVENTS, -1);
    for (int i = 0; i < found; i++) {
      int descriptor = ready[i].data.fd;
      if (descriptor == listener) {
        int client = accept4(listener, 0, 0, SOCK_NONBLOCK);
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        wanted.data.fd = client;
        epoll_ctl(epoll, EPOLL_CTL_ADD, client, &wanted);
        continue;
      }
      ssize_t length = recv(descriptor, buffer, sizeof buffer, 0);
      if (length <= 0) close(descriptor);
      else answer(descriptor, length);
    }
  }
}
