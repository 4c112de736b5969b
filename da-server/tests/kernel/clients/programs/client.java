// Sends the requests of a job (see ../job.rs) with java.net.http or HttpURLConnection.
//
//     Client LIBRARY URL HTTP2 CA_FILE CONNECTIONS REQUESTS AT_ONCE BODY HEADERS LAST_HEADERS
//
// Headers are lines of name and value. Address and TLS version come from the command line
// (jdk.net.hosts.file, jdk.tls.client.protocols). Prints how many were answered with status 200.

import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

final class Client {
    public static void main(String[] words) throws Exception {
        // One context, so that TLS sessions are resumed.
        SSLContext context = words[1].startsWith("https:") ? trusting(Path.of(words[3])) : null;
        long answered = 0;
        for (int made = 0; made < Integer.parseInt(words[4]); made++) {
            boolean modern = words[0].equals("java.net.http");
            answered += modern ? withHttpClient(context, words) : withUrlConnection(context, words);
        }
        System.out.println(answered);
    }

    // It can't close a connection: the last request asks the server to.
    private static int withHttpClient(SSLContext context, String[] words) throws Exception {
        boolean http2 = words[2].equals("true");
        int requests = Integer.parseInt(words[5]);
        int atOnce = Integer.parseInt(words[6]);
        HttpClient.Builder builder = HttpClient.newBuilder()
            .version(http2 ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1);
        HttpClient client = (context == null ? builder : builder.sslContext(context)).build();
        HttpRequest request = request(words[1], words[7], words[8]);
        HttpRequest last = request(words[1], words[7], words[8] + words[9]);
        int answered = 0;
        for (int sent = 1; sent <= requests; sent++) {
            HttpRequest next = sent == requests && atOnce == 0 ? last : request;
            answered += isAnswered(client.send(next, HttpResponse.BodyHandlers.ofByteArray()));
        }
        List<CompletableFuture<HttpResponse<byte[]>>> all =
            Stream.generate(() -> client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()))
                .limit(atOnce)
                .toList();
        for (CompletableFuture<HttpResponse<byte[]>> one : all) answered += isAnswered(one.get());
        return answered;
    }

    private static int withUrlConnection(SSLContext context, String[] words) throws Exception {
        int answered = 0;
        HttpURLConnection connection = null;
        for (int sent = 0; sent < Integer.parseInt(words[5]); sent++) {
            connection = (HttpURLConnection) new URL(words[1]).openConnection();
            if (context != null) {
                ((HttpsURLConnection) connection).setSSLSocketFactory(context.getSocketFactory());
            }
            for (String[] header : headers(words[8])) {
                connection.setRequestProperty(header[0], header[1]);
            }
            connection.setDoOutput(true);
            connection.getOutputStream().write(words[7].getBytes(StandardCharsets.UTF_8));
            answered += connection.getResponseCode() == 200 ? 1 : 0;
            connection.getInputStream().readAllBytes();
        }
        connection.disconnect();
        return answered;
    }

    private static List<String[]> headers(String lines) {
        return lines.lines().map(line -> line.split(": ", 2)).toList();
    }

    private static HttpRequest request(String url, String body, String headers) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(url))
            .POST(HttpRequest.BodyPublishers.ofString(body));
        headers(headers).forEach(header -> builder.header(header[0], header[1]));
        return builder.build();
    }

    private static SSLContext trusting(Path pem) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream file = Files.newInputStream(pem)) {
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                store.setCertificateEntry("authority" + store.size(), one);
            }
        }
        TrustManagerFactory trust =
            TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private static int isAnswered(HttpResponse<byte[]> response) {
        return response.statusCode() == 200 ? 1 : 0;
    }
}
