// Looks a host up, connects, asks for a path, and reads all there is if it was told one; prints how long it took until it
// was connected, ns.

import java.net.Socket;
import java.nio.charset.StandardCharsets;

public class Client {
    public static void main(String[] words) throws Exception {
        long began = System.nanoTime();
        try (Socket connection = new Socket(words[0], Integer.parseInt(words[1]))) {
            long took = System.nanoTime() - began;
            String target = words.length > 2 ? words[2] : "/";
            String request = "GET " + target + " HTTP/1.1\r\nhost: " + words[0] + "\r\n\r\n";
            connection.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            byte[] answer = new byte[65536];
            while (connection.getInputStream().read(answer) > 0 && words.length > 2);
            System.out.println(took);
        }
    }
}
