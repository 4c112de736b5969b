// Reads responses with HttpURLConnection, after it has read nothing for a while.
//
//     Reader HOST PATH STOP_MS REQUESTS

import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;

final class Reader {
    public static void main(String[] words) throws Exception {
        for (int made = 0; made < Integer.parseInt(words[3]); made++) {
            URL url = new URL("http://" + words[0] + words[1]);
            HttpURLConnection connection = (HttpURLConnection) url.openConnection();
            connection.getResponseCode();
            Thread.sleep(Integer.parseInt(words[2]));
            try (InputStream body = connection.getInputStream()) {
                body.transferTo(OutputStream.nullOutputStream());
            }
        }
    }
}
