package example;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.annotation.RegisteredOAuth2AuthorizedClient;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A case system that says who has signed in, and with which token. */
@SpringBootApplication
@RestController
public class CaseSystem {
    public static void main(String[] args) {
        SpringApplication.run(CaseSystem.class, args);
    }

    @GetMapping("/who")
    String who(@AuthenticationPrincipal OidcUser user, @RegisteredOAuth2AuthorizedClient("mdi") OAuth2AuthorizedClient client) {
        return user.getSubject() + "\n" + user.getFullName() + "\n" + client.getAccessToken().getTokenValue();
    }
}
