/* Looks a host up, connects, asks; prints how long it took until it was connected, ns. */

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int count, char **words)
{
	struct addrinfo wanted = { .ai_socktype = SOCK_STREAM }, *found;
	char request[512], answer[4096];
	long long began = now_ns(), took;
	int connection, bytes;

	if (count != 3 || getaddrinfo(words[1], words[2], &wanted, &found))
		return 1;
	connection = socket(found->ai_family, SOCK_STREAM, 0);
	if (connection < 0 || connect(connection, found->ai_addr, found->ai_addrlen))
		return 2;
	took = now_ns() - began;
	bytes = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nhost: %s\r\n\r\n", words[1]);
	if (write(connection, request, bytes) != bytes || read(connection, answer, sizeof(answer)) < 12)
		return 3;
	printf("%lld\n", took);
	return memcmp(answer, "HTTP/1.1 200", 12) != 0;
}
