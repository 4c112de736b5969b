// Looks a host up, connects, asks; prints how long it took until it was connected, ns.

import java.net.Socket;
import java.nio.charset.StandardCharsets;

public class Client {
    public static void main(String[] words) throws Exception {
        long began = System.nanoTime();
        try (Socket connection = new Socket(words[0], Integer.parseInt(words[1]))) {
            long took = System.nanoTime() - began;
            String request = "GET / HTTP/1.1\r\nhost: " + words[0] + "\r\n\r\n";
            connection.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            byte[] answer = new byte[12];
            connection.getInputStream().readNBytes(answer, 0, answer.length);
            if (!new String(answer, StandardCharsets.US_ASCII).equals("HTTP/1.1 200")) System.exit(1);
            System.out.println(took);
        }
    }
}
