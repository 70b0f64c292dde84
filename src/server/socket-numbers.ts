/** Numbers of Linux's socket calls, as <sys/socket.h> and <netinet/in.h> name them. */
export const AF_INET = 2;
export const AF_INET6 = 10;
/** Length of the longest address, struct sockaddr_storage. */
export const SOCKADDR_BYTES = 128;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const IPPROTO_TCP = 6;
